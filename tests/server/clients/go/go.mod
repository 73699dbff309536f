module modelwright.dev/tests/client

go 1.26
