# One program: kept if it is there already, else read from stdin and checked.
IFS= read -r build; IFS= read -r name; IFS= read -r size; IFS= read -r sha
d="$R/versions/$build"
[ "$(sum "$d/$name" 2>/dev/null)" = "$sha" ] && { say have yes; exit 0; }
d="$d.part"
mkdir -p "$d" || die "cannot make $d"
if [ "$size" = ask ]; then
    if [ "$(sum "$d/$name" 2>/dev/null)" = "$sha" ]; then say have yes; else say have no; fi
    exit 0
fi
cat >"$d/$name.new" || die "cannot write $d/$name.new; is the disk full?"
got=$(wc -c <"$d/$name.new" | tr -d ' ')
[ "$got" = "$size" ] || { rm -f "$d/$name.new"; die "$name arrived with $got bytes of $size"; }
[ "$(sum "$d/$name.new")" = "$sha" ] || { rm -f "$d/$name.new"; die "$name arrived with another sha256"; }
chmod 700 "$d/$name.new" && mv -f "$d/$name.new" "$d/$name" || die "cannot keep $d/$name"
say have yes
