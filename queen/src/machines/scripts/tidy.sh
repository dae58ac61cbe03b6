# Builds that do not count any more; what runs of them keeps its file open.
IFS= read -r build
for d in "$R"/versions/*; do
    case $d in
        "$R/versions/$build") ;;
        *) rm -rf "$d" ;;
    esac
done
