package memlimit

import (
	"testing"
	"testing/fstest"
)

const (
	v2Mount = "24 22 0:20 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
	v1Mount = "29 22 0:25 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n34 30 0:31 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
)

func TestCgroup(t *testing.T) {
	for _, tt := range []struct {
		name              string
		mountinfo, groups string
		files             map[string]string
		want              int64
	}{
		{"nothing", "", "", nil, Unlimited},
		{"version 2", v2Mount, "0::/system.slice/x.service\n",
			map[string]string{"sys/fs/cgroup/system.slice/x.service/memory.max": "1000\n"}, 1000},
		{"version 2, none set", v2Mount, "0::/a\n", map[string]string{"sys/fs/cgroup/a/memory.max": "max\n"}, Unlimited},
		{"version 2, of the group above", v2Mount, "0::/a/b/c\n",
			map[string]string{"sys/fs/cgroup/a/memory.max": "500\n", "sys/fs/cgroup/a/b/c/memory.max": "1000\n"}, 500},
		{"version 2, the root of a namespace", v2Mount, "0::/\n", map[string]string{"sys/fs/cgroup/memory.max": "700\n"}, 700},
		{"version 2, a group beside the namespace", v2Mount, "0::/../other\n", map[string]string{"sys/fs/cgroup/memory.max": "700\n"}, 700},
		{"version 1", v1Mount, "5:cpu:/elsewhere\n4:memory:/a/b\n0::/\n",
			map[string]string{"sys/fs/cgroup/memory/a/b/memory.limit_in_bytes": "2000\n"}, 2000},
		{"version 1, none set", v1Mount, "4:memory:/\n",
			map[string]string{"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 9223372036854771712},
		{"version 1, of the group above", v1Mount, "4:memory:/a/b\n",
			map[string]string{"sys/fs/cgroup/memory/a/b/memory.limit_in_bytes": "2000\n", "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "1500\n"}, 1500},
		{"version 1, controllers together", "34 30 0:31 / /cg rw - cgroup cgroup rw,cpu,memory\n", "4:cpu,memory:/a\n",
			map[string]string{"cg/a/memory.limit_in_bytes": "11\n"}, 11},
		{"a container sees its own part only", "34 30 0:31 /docker/1 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n", "4:memory:/docker/1\n",
			map[string]string{"sys/fs/cgroup/memory/memory.limit_in_bytes": "3000\n"}, 3000},
		{"a group within that part", "34 30 0:31 /docker/1 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n", "4:memory:/docker/1/x\n",
			map[string]string{"sys/fs/cgroup/memory/x/memory.limit_in_bytes": "3000\n"}, 3000},
		{"a name that only begins alike", "34 30 0:31 /docker/1 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n", "4:memory:/docker/10\n",
			map[string]string{"sys/fs/cgroup/memory/memory.limit_in_bytes": "3000\n"}, 3000},
		{"both", v2Mount + v1Mount, "4:memory:/a\n0::/b\n",
			map[string]string{"sys/fs/cgroup/memory/a/memory.limit_in_bytes": "900\n", "sys/fs/cgroup/b/memory.max": "800\n"}, 800},
		{"a space in the path", `24 22 0:20 / /my\040groups rw - cgroup2 cgroup2 rw` + "\n", "0::/a b\n",
			map[string]string{"my groups/a b/memory.max": "77\n"}, 77},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files := fstest.MapFS{
				"proc/self/mountinfo": {Data: []byte(tt.mountinfo)},
				"proc/self/cgroup":    {Data: []byte(tt.groups)},
			}
			for name, content := range tt.files {
				files[name] = &fstest.MapFile{Data: []byte(content)}
			}
			if got := cgroup(files); got != tt.want {
				t.Errorf("cgroup() = %d, want %d", got, tt.want)
			}
		})
	}
}
