# Everything of a build has arrived: does it run here?
IFS= read -r build
d="$R/versions/$build"
[ -d "$d" ] || mv "$d.part" "$d" || die "cannot make $d"
for p in "$d/rbee-hive" "$d/llm-worker-rbee"; do
    out=$("$p" --version 2>&1) || die "this build does not run here: $(printf %s "$out" | line)"
done
say version "$("$d/rbee-hive" --version | line)"
if [ -L "$R/rbee-hive" ]; then
    old=$(readlink "$R/rbee-hive")
    say old "$(printf %s "$old" | sed -n 's,^versions/\([0-9a-f]*\)/rbee-hive$,\1,p')"
    say old_version "$("$R/rbee-hive" --version 2>/dev/null | line)"
fi
