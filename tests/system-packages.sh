#!/bin/sh
# Makes sure that the named Debian packages are there: installs them when run by root on a Debian system,
# otherwise says what is missing. Tests that need one of them are skipped without it, and fail when CI is set.
set -eu

command -v dpkg-query >/dev/null 2>&1 || exit 0
missing=""
for package in "$@"; do
    status=$(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ]; then
    echo "Not installed, and some tests need them (sudo apt-get install$missing)" >&2
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
echo "Installing$missing" >&2
apt-get -qq update
# shellcheck disable=SC2086 - one word per package
apt-get -qq install -y --no-install-recommends $missing >/dev/null
