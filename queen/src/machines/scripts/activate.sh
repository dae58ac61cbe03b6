# The link is the one thing that says which build counts.
IFS= read -r build; IFS= read -r port; IFS= read -r token
mkdir -p "$R/config" "$R/data" "$R/run" "$C" || die "cannot make $R"
printf '%s\n' "$token" >"$R/config/hive.token.new" && chmod 600 "$R/config/hive.token.new" &&
    mv -f "$R/config/hive.token.new" "$R/config/hive.token" || die "cannot write $R/config"
printf '[hive]\naddress = "127.0.0.1:%s"\ntoken_file = "hive.token"\n' "$port" \
    >"$R/config/config.toml.new" && mv -f "$R/config/config.toml.new" "$R/config/config.toml" ||
    die "cannot write $R/config"
ln -sf "versions/$build/rbee-hive" "$R/rbee-hive.new" && mv -f "$R/rbee-hive.new" "$R/rbee-hive" ||
    die "cannot write $R/rbee-hive"
