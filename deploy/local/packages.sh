#!/bin/sh
# Installs Debian packages (as root) without starting anything that they bring:
#   sudo sh deploy/local/packages.sh postgresql rabbitmq-server
# A package starts its server when it is installed, and would at every boot: the usual port would be taken by a server
# that nobody asked for. policy-rc.d and the drop-in prevent that for as long as this script runs.
set -e
policy=/usr/sbin/policy-rc.d
dropin=/etc/postgresql-common/createcluster.d/order-processing.conf
own_policy=

clean_up() {
    if [ -n "$own_policy" ]; then rm -f "$policy"; fi
    rm -f "$dropin"
}
trap clean_up EXIT
trap 'exit 130' INT TERM HUP

if [ ! -e "$policy" ]; then
    own_policy=yes
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
fi
mkdir -p "${dropin%/*}"
echo 'create_main_cluster = false' > "$dropin"

export DEBIAN_FRONTEND=noninteractive
apt-get update || true # with lists that are half old, what we need may still be there
apt-get install -y --no-install-recommends "$@"

# policy-rc.d has no say in what systemd starts at the next boot.
for package in "$@"; do
    case $package in
    rabbitmq-server) units="rabbitmq-server.service epmd.service epmd.socket" ;;
    prometheus | prometheus-alertmanager | haproxy) units=$package.service ;;
    *) continue ;;
    esac
    # shellcheck disable=SC2086 # several words
    if [ -d /run/systemd/system ]; then systemctl disable $units || true; fi
done
