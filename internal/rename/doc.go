// Package rename tests rename.sh, which make rename calls: it gives the module the path of a home where go get finds it.
package rename
