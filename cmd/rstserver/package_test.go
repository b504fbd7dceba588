package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"rstserver/internal/debian"
	"rstserver/internal/lingertest"
	"rstserver/internal/restartload"
)

var packageFile = flag.String("package", "", "the Debian package that TestPackage installs; make package-test builds one")

// What the package is made of is there, its scripts are scripts of a POSIX shell, and whoever makes it is told of a file that is new.
func TestPackageSources(t *testing.T) {
	for _, script := range []string{"postinst", "prerm", "postrm", "../dist.sh"} {
		if out, err := exec.Command("sh", "-n", filepath.Join("deploy/package", script)).CombinedOutput(); err != nil {
			t.Errorf("%s: %v, %s", script, err, out)
		}
	}
	config, err := os.ReadFile("deploy/package/nfpm.yaml")
	lingertest.Must(t, err)
	dist, err := os.ReadFile("deploy/dist.sh")
	lingertest.Must(t, err)
	for _, m := range regexp.MustCompile(`@STAGE@/([a-z]+)`).FindAllSubmatch(config, -1) {
		if !bytes.Contains(dist, append([]byte(`$stage`), "/"+string(m[1])...)) && !bytes.Contains(dist, append([]byte(`$stage"/`), m[1]...)) &&
			string(m[1]) != "man" && string(m[1]) != "completions" && string(m[1]) != "sysusers" {
			t.Errorf("nfpm.yaml takes %s, which dist.sh does not make", m[1])
		}
	}
	for _, name := range []string{"completions/rstserver.bash", "completions/_rstserver", "completions/rstserver.fish"} {
		if _, err := os.Stat(filepath.Join(writeDocs(t), name)); err != nil || !bytes.Contains(config, []byte("@STAGE@/"+name)) {
			t.Errorf("%s is not in the package: %v", name, err)
		}
	}
}

// The package is installed, serves as its user, is upgraded under load, and leaves no trace; all of it over a copy of this machine's files.
func TestPackage(t *testing.T) {
	if *packageFile == "" {
		t.Skip("needs the package: make package-test builds it, and runs this")
	}
	for _, p := range []struct{ name, from string }{{"unshare", "util-linux"}, {"systemctl", "systemd"}, {"dpkg", "dpkg"}, {"dpkg-deb", "dpkg"}} {
		debian.Program(t, p.name, p.from)
	}
	if os.Getuid() != 0 {
		t.Skip("needs root, for namespaces with a systemd in them")
	}
	out := t.TempDir()
	putProgram(t, "/proc/self/exe", filepath.Join(out, "test"))
	putProgram(t, "testdata/package/boot.sh", filepath.Join(out, "boot.sh"))
	putProgram(t, "deploy/README.md", filepath.Join(out, deployClone, "cmd/rstserver/deploy/README.md"))
	// The name that make dist gives it on amd64, as the README has that.
	putProgram(t, *packageFile, filepath.Join(out, deployClone, "bin/dist/rstserver_0_amd64.deb"))
	// The same as a version behind it.
	tree := filepath.Join(out, "tree")
	run := func(name string, args ...string) {
		t.Helper()
		if b, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s %q: %v, %s", name, args, err, b)
		}
	}
	run("dpkg-deb", "--raw-extract", *packageFile, tree)
	run("sed", "-i", "s/^Version: .*/&+next/", filepath.Join(tree, "DEBIAN/control"))
	run("dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, filepath.Join(out, deployClone, "rstserver_NEXT_amd64.deb"))

	ctx, cancel := context.WithTimeout(t.Context(), 4*lingertest.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "unshare", "--pid", "--fork", "--mount", "--uts", "--ipc", "--cgroup", "--net", "--kill-child",
		"sh", filepath.Join(out, "boot.sh"), out)
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	b, err := cmd.CombinedOutput()
	inside, _ := os.ReadFile(filepath.Join(out, "log"))
	switch {
	case cmd.ProcessState.ExitCode() == 77, bytes.HasPrefix(b, []byte("unshare: ")):
		t.Skipf("needs namespaces with mounts of their own, overlayfs and cgroup2, as root has them outside of containers: %s", b)
	case !bytes.Contains(inside, []byte("\nPASS\n")):
		t.Errorf("%v, %s\n%s", err, b, inside)
	default:
		for line := range strings.Lines(string(inside)) {
			if _, measured, ok := strings.Cut(line, "measured: "); ok {
				t.Log(strings.TrimSpace(measured))
			}
		}
	}
}

// traces are all files but those that dpkg keeps of what has happened and those that are nobody's package (/usr/local, homes, where the machine's
// users may write meanwhile), and the databases of users with their content.
func traces(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, root := range []string{"/etc", "/usr", "/var/lib", "/var/spool", "/var/cache", "/opt"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return nil
			case strings.HasPrefix(path, "/var/lib/dpkg"), strings.HasPrefix(path, "/usr/local"):
				if d.IsDir() {
					return fs.SkipDir
				}
				return nil
			case strings.HasSuffix(path, "-"), strings.HasSuffix(path, ".lock"): // backups of the databases
				return nil
			}
			all[path] = d.Type().String()
			return nil
		})
		lingertest.Must(t, err)
	}
	for _, path := range []string{"/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow"} {
		b, _ := os.ReadFile(path)
		all[path] = string(b)
	}
	return all
}

func TestPackageInside(t *testing.T) {
	if os.Getenv(insideEnv) == "" {
		t.Skip("is started by TestPackage")
	}
	lingertest.Wait(t, "systemd has come up", func() bool {
		out, _ := exec.Command("systemctl", "is-system-running").Output()
		return strings.Contains(string(out), "running")
	})
	command := func(name string, args ...string) string {
		t.Helper()
		out, err := exec.Command(name, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s %q: %v, %s", name, args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	t.Chdir("/run/test/" + deployClone)
	lines := strings.Split(deployLines(t, "dpkg -i "), "\n")
	if len(lines) != 4 {
		t.Fatalf("the README has %q, want an installation, a start, an upgrade and a purge", lines)
	}
	before := traces(t)
	runLines(t, lines[0])
	u := unit{t, "rstserver"}
	if got := u.show("ActiveState"); got != "inactive" {
		t.Errorf("a first installation has started it: %s", got)
	}
	if !strings.HasPrefix(command("/usr/bin/rstserver", "--version"), "rstserver ") {
		t.Error("the program says no version")
	}
	if _, err := os.Stat("/usr/share/man/man1/rstserver-serve.1.gz"); err != nil {
		t.Error(err)
	}
	runLines(t, lines[1])
	u.drop("") // has its output be read
	u.ctl("restart")
	user := command("id", "-u", "rstserver")
	status := func() map[string]string {
		b, err := os.ReadFile("/proc/" + u.show("MainPID") + "/status")
		lingertest.Must(t, err)
		fields := make(map[string]string)
		for line := range strings.Lines(string(b)) {
			name, value, _ := strings.Cut(line, ":")
			fields[name] = strings.Join(strings.Fields(value), " ")
		}
		return fields
	}
	confined := func() {
		t.Helper()
		s := status()
		const none = "0000000000000000"
		if user == "0" || s["Uid"] != fmt.Sprintf("%s %[1]s %[1]s %[1]s", user) || s["CapEff"] != none || s["CapBnd"] != none || s["CapAmb"] != none ||
			s["NoNewPrivs"] != "1" || s["Seccomp"] != "2" {
			t.Errorf("it runs as %s, want %s, with CapEff %s, CapBnd %s, NoNewPrivs %s, Seccomp %s", s["Uid"], user, s["CapEff"], s["CapBnd"], s["NoNewPrivs"], s["Seccomp"])
		}
	}
	confined()

	// The upgrade.
	l := restartload.Start(restartload.Config{Addr: inSystemd.String(), New: 4, Kept: 4, PostPath: "/echo", Pause: shortPause})
	lingertest.Wait(t, "it is under load", func() bool { return l.Requests() > 100 })
	main := u.show("MainPID")
	runLines(t, lines[2])
	lingertest.Wait(t, "another main process", func() bool { return u.show("MainPID") != main && u.show("ActiveState") == "active" })
	began := l.Since()
	lingertest.Wait(t, "the one before has ended", func() bool {
		_, err := os.Stat("/proc/" + main)
		return err != nil && l.Since() > began+time.Second
	})
	if result := l.Stop(); len(result.Lost) > 0 || tooLittle(result) {
		t.Errorf("the upgrade: %s\n%s", result, u.log())
	} else {
		t.Logf("measured: an upgrade by dpkg -i under %s", result)
	}
	confined()
	if exe, err := os.Readlink("/proc/" + u.show("MainPID") + "/exe"); err != nil || exe != "/usr/bin/rstserver" {
		t.Errorf("the program is %s, %v", exe, err)
	}

	runLines(t, lines[3])
	if got := u.show("LoadState"); got != "not-found" {
		t.Errorf("the unit is %s", got)
	}
	after := traces(t)
	var left []string
	for path, what := range after {
		if before[path] != what {
			left = append(left, "left or changed: "+path)
		}
	}
	for path := range before {
		if _, ok := after[path]; !ok {
			left = append(left, "gone: "+path)
		}
	}
	slices.Sort(left)
	if len(left) > 0 {
		t.Errorf("the purge leaves %q", left)
	}
}
