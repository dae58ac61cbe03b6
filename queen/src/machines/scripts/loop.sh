# A folder for a socket that is there for one test.
d=$(mktemp -d "${TMPDIR:-/tmp}/rbee-test-XXXXXX") || die 'cannot make a folder for a socket'
say dir "$d"
