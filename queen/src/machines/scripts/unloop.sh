IFS= read -r d
case $d in
    */rbee-test-??????) rm -rf "$d" ;;
esac
