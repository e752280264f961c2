#!/bin/sh
# Puts the bundle of this image beside those that are there, then has the link `current` point to it. Killed in
# between, it leaves the link where it was. Older bundles stay: the image of before only turns the link back.
set -eu

bundles=${1:?the directory that holds the bundles}
bundle=${BUNDLE:-/bundle}

# bundle.json has the hash of every other file: two different bundles never have one name.
name=$(sha256sum "$bundle/bundle.json" | cut -c 1-12)

if [ ! -d "$bundles/$name" ]; then
    copy=$(mktemp -d "$bundles/.$name.XXXXXX")
    trap 'rm -rf "$copy"' EXIT
    cp -R "$bundle/." "$copy"
    chmod 0755 "$copy"
    # Where another was faster, its copy is as good.
    mv -T "$copy" "$bundles/$name" || [ -d "$bundles/$name" ]
fi

# In one step, since a consumer may look at any moment.
link=$bundles/.current.$$
ln -s "$name" "$link"
mv -T "$link" "$bundles/current"
echo "current is $name"
