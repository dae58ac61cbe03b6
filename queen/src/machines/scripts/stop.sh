IFS= read -r workers
[ -x "$R/rbee-hive" ] || { say was none; exit 0; }
if [ "$workers" = keep ]; then set -- --keep-workers; else set --; fi
out=$("$R/rbee-hive" stop "$@" 2>&1) || die "$(printf %s "$out" | line)"
say was "$(printf %s "$out" | line)"
if [ -f "$U" ] && user_systemd; then systemctl --user stop rbee-hive.service >/dev/null 2>&1; fi
exit 0
