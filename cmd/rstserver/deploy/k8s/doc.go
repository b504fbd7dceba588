// Package k8s tests deploy/kubernetes.yaml with the types of Kubernetes. It is a module of its own, as they take long to compile.
package k8s
