#!/usr/bin/env bash
# PID 1 of a fake machine: it comes in namespaces of its own and gives itself a copy-on-write root, then serves ssh.
# Everything that is mounted, started or listening here ends with this process.
#   machine.sh NAME FOLDER SHARED REPOSITORY INTERPRETER GROUP KEY
set -euo pipefail
name=$1 folder=$2 shared=$3 repository=$4 interpreter=$5 group=$6 key=$7
hostname "$name"
mount -t tmpfs -o mode=755,size=6g tmpfs "$folder"
mkdir "$folder"/{upper,work,root}
root=$folder/root
mount -t overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" overlay "$root"

mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
ln -s /proc/self/fd "$root/dev/fd"
mkdir "$root"/dev/{pts,shm}
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mount -t tmpfs -o mode=1777,size=2g tmpfs "$root/dev/shm"

# Its own home, /tmp (Ray's sessions) and /run; the repository and its Python as they are, and not to be changed.
for place in tmp:1777 root:700 run:755; do mount -t tmpfs -o "mode=${place#*:}" tmpfs "$root/${place%:*}"; done
for seen in "$repository" "$interpreter"; do
    mkdir -p "$root$seen"
    mount --bind "$seen" "$root$seen"
    mount -o remount,bind,ro "$root$seen"
done
mkdir -p "$root/mnt/asd" "$root/run/sshd"
mount --bind "$shared" "$root/mnt/asd"

# Files that this machine writes to the shared disk have a group of its own: so one sees who wrote them.
sed -i "s/^root:x:0:0:/root:x:0:$group:/" "$root/etc/passwd"
echo "127.0.0.1 localhost $name" > "$root/etc/hosts"
: > "$root/root/.profile"
: > "$root/root/.bashrc"
mkdir -m 700 "$root/root/.ssh"
if [ "$name" = laptop ]; then
    install -m 600 "$key" "$root/root/.ssh/id_ed25519"
else
    cp "$key.pub" "$root/root/.ssh/authorized_keys"
fi
ssh-keygen -q -t ed25519 -N '' -f "$root/run/hostkey"
cat > "$root/run/sshd_config" <<END
HostKey /run/hostkey
PermitRootLogin prohibit-password
PasswordAuthentication no
StrictModes no
UsePAM no
MaxStartups 100
MaxSessions 100
PidFile none
END
exec chroot "$root" /usr/sbin/sshd -D -e -f /run/sshd_config
