IFS= read -r port
say time "$(date +%s)"
say os "$(uname -s)"
say arch "$(uname -m)"
libc=$(getconf GNU_LIBC_VERSION 2>/dev/null)
say libc "${libc:-$(ldd --version 2>&1 | head -n 1 | line)}"
say home "$HOME"
say writable "$(yes_if test -d "$HOME" -a -w "$HOME")"
say disk_kib "$(df -Pk "$HOME" 2>/dev/null | awk 'NR == 2 { print $4 }')"
if [ -r /proc/driver/nvidia/version ]; then
    say gpu_driver "$(head -n 1 /proc/driver/nvidia/version | line)"
fi
say sha256 "$(if has sha256sum || has shasum || has openssl; then echo yes; else echo no; fi)"
say systemd "$(yes_if user_systemd)"
say user "$(id -un)"
# Sockets that listen, as the kernel lists them: the port in hexadecimal, and
# state 0A.
if [ -r /proc/net/tcp ]; then
    taken=$(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk '$4 == "0A" { print $2 }')
    case $taken in
        *":$port"*) say port_free no ;;
        *) say port_free yes ;;
    esac
fi
if [ -x "$R/rbee-hive" ]; then
    say installed "$("$R/rbee-hive" --version 2>/dev/null | line)"
    say status "$("$R/rbee-hive" status 2>/dev/null | line)"
fi
