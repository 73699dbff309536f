module modelwright.dev/tests/cluster/images

go 1.25.0
