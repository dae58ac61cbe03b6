IFS= read -r id
[ -x "$R/rbee-hive" ] || die "rbee is not installed there"
if user_systemd; then
    mkdir -p "${U%/*}" || die "cannot make ${U%/*}"
    {
        printf '[Unit]\nDescription=rbee hive\nAfter=network.target\n\n[Service]\n'
        printf 'Environment=RBEE_CONFIG_DIR=%%h/.local/share/rbee-hive/config\n'
        printf 'Environment=RBEE_DATA_DIR=%%h/.local/share/rbee-hive/data\n'
        printf 'Environment=RBEE_CACHE_DIR=%%h/.cache/rbee-hive\n'
        printf 'ExecStart=%%h/.local/share/rbee-hive/rbee-hive --hive-id %s ' "$id"
        printf -- '--queen-url http://127.0.0.1:8500 --queen-socket %%h/.local/share/rbee-hive/run/queen.sock\n'
        # The workers outlive their hive, and the next one adopts them.
        printf 'KillMode=process\nRestart=on-failure\nRestartSec=2\n\n[Install]\nWantedBy=default.target\n'
    } >"$U.new" && mv -f "$U.new" "$U" || die "cannot write $U"
    systemctl --user daemon-reload && out=$(systemctl --user enable --now rbee-hive.service 2>&1) ||
        die "systemd does not start it: $(printf %s "$out" | line)"
    loginctl enable-linger >/dev/null 2>&1 || say unlingering "$(id -un)"
    say how systemd
    n=0
    while ! "$R/rbee-hive" status 2>/dev/null | grep -q '"address":"'; do
        n=$((n + 1))
        [ $n -lt 20 ] || die "systemd started it and it does not answer: journalctl --user -u rbee-hive"
        sleep 1
    done
else
    out=$("$R/rbee-hive" --hive-id "$id" --queen-url http://127.0.0.1:8500 \
        --queen-socket "$R/run/queen.sock" start 2>&1) || die "$(printf %s "$out" | line)"
    say how process
fi
say status "$("$R/rbee-hive" status 2>/dev/null | line)"
