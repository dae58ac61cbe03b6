IFS= read -r what
say home "$HOME"
if [ "$what" = open ]; then
    mkdir -p "$R/run" || die "cannot make $R/run"
    # What the connection before this one listened on.
    rm -f "$R/run/queen.sock"
fi
if [ -x "$R/rbee-hive" ]; then
    say status "$("$R/rbee-hive" status 2>/dev/null | line)"
fi
