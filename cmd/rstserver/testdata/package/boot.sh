# Boots a systemd over the machine's files as they are, of which nothing is changed (overlayfs), with the units of $1/units before all
# others and none that the machine has enabled, and runs $1/test in it, which logs to $1/log. It exits with 77 where it may not mount.
set -e
root=$1/root
{
	mount --make-rprivate / &&
	mkdir "$root" "$1/over" &&
	mount -t tmpfs tmpfs "$1/over" &&
	mkdir "$1/over/upper" "$1/over/work" &&
	mount -t overlay overlay -o "lowerdir=/,upperdir=$1/over/upper,workdir=$1/over/work" "$root" &&
	mount -t tmpfs tmpfs "$root/run" &&
	mount -t tmpfs tmpfs "$root/tmp" &&
	mkdir "$root/run/units" "$root/run/test" &&
	mount --bind "$1" "$root/run/test" &&
	mount -t proc proc "$root/proc" &&
	mount --rbind /dev "$root/dev" &&
	mount -t sysfs sysfs "$root/sys" &&
	mount -t tmpfs tmpfs "$root/sys/fs/cgroup" 2>/dev/null &&
	mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
} || exit 77
for target in basic default multi-user shutdown sockets sysinit umount; do
	printf '[Unit]\nDescription=%s\nDefaultDependencies=no\n' "$target" >"$root/run/units/$target.target"
done
rm -rf "$root"/etc/systemd/system/*.wants "$root"/usr/lib/systemd/system/*.wants
ip link set lo up
export SYSTEMD_UNIT_PATH=/run/units:/etc/systemd/system:/usr/lib/systemd/system container=test
# systemd mounts for units what it finds under /, so this has to be a root of its own, and no chroot.
mkdir "$root/run/old"
cd "$root"
pivot_root . run/old
umount -l /run/old
exec sh -c '
	(
		/run/test/test -test.run "^TestPackageInside$" -test.v >/run/test/log 2>&1 || true
		systemctl poweroff -ff
	) &
	exec /lib/systemd/systemd --system --unit=default.target --log-target=null --show-status=no'
