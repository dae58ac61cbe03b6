R="$HOME/.local/share/rbee-hive"
C="$HOME/.cache/rbee-hive"
U="$HOME/.config/systemd/user/rbee-hive.service"
export RBEE_CONFIG_DIR="$R/config" RBEE_DATA_DIR="$R/data" RBEE_CACHE_DIR="$C"
line() { tr '\n\r' '  '; }
has() { command -v "$1" >/dev/null 2>&1; }
yes_if() { if "$@" >/dev/null 2>&1; then echo yes; else echo no; fi; }
sum() {
    if has sha256sum; then sha256sum <"$1" | cut -d' ' -f1
    elif has shasum; then shasum -a 256 <"$1" | cut -d' ' -f1
    elif has openssl; then openssl dgst -sha256 <"$1" | sed 's/.* //'
    fi
}
user_systemd() { has systemctl && systemctl --user show-environment >/dev/null 2>&1; }
