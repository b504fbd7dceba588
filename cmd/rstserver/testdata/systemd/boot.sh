# Boots a systemd in the namespaces that this is run in, with no units but those that are put to its own /etc/systemd/system, and runs $1/test
# in it, which logs to $1/log. Nothing outside of $1 can be written to. It exits with 77 where it may not mount.
set -e
{
	mount --make-rprivate / &&
	mount -t tmpfs tmpfs /run &&
	mkdir /run/units /run/test &&
	mount --bind "$1" /run/test
} || exit 77
for target in basic default multi-user shutdown sockets sysinit umount; do
	printf '[Unit]\nDescription=%s\nDefaultDependencies=no\n' "$target" >"/run/units/$target.target"
done
{
	mount -o remount,bind,ro / &&
	mount -t tmpfs tmpfs /tmp &&
	mount -t tmpfs tmpfs /var &&
	mount -t tmpfs tmpfs /usr/local/bin &&
	mount -t tmpfs tmpfs /etc/systemd/system
} || exit 77
umount -R -l /sys/fs/cgroup 2>/dev/null || true
mount -t tmpfs tmpfs /sys/fs/cgroup 2>/dev/null || true
mount -t cgroup2 cgroup2 /sys/fs/cgroup || exit 77
ip link set lo up
export SYSTEMD_UNIT_PATH=/run/units:/etc/systemd/system container=test
(
	/run/test/test -test.run '^TestSystemdInside$' -test.v >/run/test/log 2>&1 || true
	systemctl poweroff -ff
) &
exec /lib/systemd/systemd --system --unit=default.target --log-target=null --show-status=no
