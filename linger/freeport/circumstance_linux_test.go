//go:build linux

package freeport

import (
	"fmt"
	"net/netip"
	"testing"

	"rstserver/linger/sockdiag"
)

func TestOwnerOf(t *testing.T) {
	const id = "3f2a1b0c9d8e7f6a5b4c3d2e1f0a9b8c7d6e5f4a3b2c1d0e9f8a7b6c5d4e3f2a"
	for cgroup, want := range map[string]string{
		"":                                    "",
		"0::/\n":                              "",
		"0::/init.scope\n":                    "",
		"0::/system.slice/nginx.service\n":    "nginx.service",
		"0::/system.slice/a.service/worker\n": "a.service",
		"0::/user.slice/user-1000.slice/session-3.scope\n":                               "",
		"0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-gnome-x.scope\n": "",
		"0::/user.slice/user-1000.slice/user@1000.service/app.slice/web.service\n":       "user web.service",
		"0::/system.slice/docker-" + id + ".scope\n":                                     "docker " + id,
		"12:pids:/docker/" + id + "\n11:cpu:/docker/" + id + "\n":                        "docker " + id,
		"0::/machine.slice/libpod-" + id + ".scope/container\n":                          "podman " + id,
		"0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-" + id + ".scope\n":       "crictl " + id,
	} {
		service, user, container, runtime := ownerOf(cgroup)
		got := service
		if user {
			got = "user " + got
		}
		if container != "" {
			got = runtime + " " + container
		}
		if got != want {
			t.Errorf("ownerOf(%q) = %q, want %q", cgroup, got, want)
		}
	}
}

// TestGroupPeers: single addresses as long as they cover most of it, networks where they do not.
func TestGroupPeers(t *testing.T) {
	var sockets []sockdiag.Socket
	for i := range 400 {
		ip := netip.AddrFrom4([4]byte{10, 0, byte(i / 200), byte(i % 200)})
		sockets = append(sockets, sockdiag.Socket{State: sockdiag.TimeWait, Remote: netip.AddrPortFrom(ip, 1)})
	}
	groups, rest := group(sockets, [2]int{32, 128}, 10)
	if len(groups) != 10 || rest.Total() != 390 {
		t.Errorf("addresses: %v and %v", groups, rest)
	}
	groups, rest = group(sockets, [2]int{24, 64}, 10)
	if got := fmt.Sprint(groups, rest); got != "[{10.0.0.0/24 TIME_WAIT 200} {10.0.1.0/24 TIME_WAIT 200}] none" {
		t.Errorf("networks: %s", got)
	}
}
