// Go's net/http against the server: kept connections, chunked and compressed bodies, bodies that wait for
// "100 Continue", many requests at once. Each answer must be the one the caller expects.
//
// Usage: client ADDRESS PATH REQUEST-FILE ANSWER-FILE
package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/http/httptrace"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

type caller struct {
	client   *http.Client
	url      string
	body     []byte
	expected any // the member "outputs"
	dialled  atomic.Int64
	told     atomic.Int64 // to go on
}

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(address, path, requestFile, answerFile string) error {
	body, err := os.ReadFile(requestFile)
	if err != nil {
		return err
	}
	answer, err := os.ReadFile(answerFile)
	if err != nil {
		return err
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 8, MaxConnsPerHost: 8, ExpectContinueTimeout: time.Minute}
	c := &caller{client: &http.Client{Transport: transport, Timeout: time.Minute}, url: address + path, body: body}
	if c.expected, err = outputs(answer); err != nil {
		return err
	}

	for range 20 {
		if err := c.infer(bytes.NewReader(body), nil); err != nil {
			return fmt.Errorf("plain: %w", err)
		}
	}
	if n := c.dialled.Load(); n != 1 {
		return fmt.Errorf("20 requests in turn took %d connections", n)
	}
	// A reader of unknown length is sent in chunks.
	if err := c.infer(struct{ io.Reader }{bytes.NewReader(body)}, nil); err != nil {
		return fmt.Errorf("chunked: %w", err)
	}
	if err := c.infer(bytes.NewReader(body), map[string]string{"Expect": "100-continue"}); err != nil {
		return fmt.Errorf("expectation: %w", err)
	}
	if n := c.told.Load(); n != 1 {
		return fmt.Errorf("told %d times to go on, not once", n)
	}
	packed, err := zipped(body)
	if err != nil {
		return err
	}
	coding := map[string]string{"Content-Encoding": "gzip"}
	if err := c.infer(bytes.NewReader(packed), coding); err != nil {
		return fmt.Errorf("gzip: %w", err)
	}
	if err := c.infer(struct{ io.Reader }{bytes.NewReader(packed)}, coding); err != nil {
		return fmt.Errorf("gzip in chunks: %w", err)
	}
	if err := c.atOnce(16, 50); err != nil {
		return fmt.Errorf("at once: %w", err)
	}
	head, err := c.client.Head(address + "/v2/health/ready")
	if err != nil {
		return err
	}
	head.Body.Close()
	if head.StatusCode != http.StatusOK {
		return fmt.Errorf("HEAD: %s", head.Status)
	}
	if n := c.dialled.Load(); n > 8 {
		return fmt.Errorf("%d connections for 8 at a time", n)
	}
	fmt.Println("ok")
	return nil
}

// infer sends a request and compares the answer.
func (c *caller) infer(body io.Reader, headers map[string]string) error {
	trace := &httptrace.ClientTrace{
		ConnectDone:    func(_, _ string, _ error) { c.dialled.Add(1) },
		Got100Continue: func() { c.told.Add(1) },
	}
	ctx := httptrace.WithClientTrace(context.Background(), trace)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, body)
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	response, err := c.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", response.Status, content)
	}
	found, err := outputs(content)
	if err != nil {
		return err
	}
	if !same(found, c.expected) {
		return fmt.Errorf("another answer: %s", content)
	}
	return nil
}

// atOnce sends requests from several goroutines.
func (c *caller) atOnce(senders, each int) error {
	var group sync.WaitGroup
	errs := make(chan error, senders)
	for range senders {
		group.Go(func() {
			for range each {
				if err := c.infer(bytes.NewReader(c.body), nil); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	group.Wait()
	close(errs)
	return <-errs
}

// same compares decoded JSON; numbers may differ by what sharing a call of the model with other rows does to sums.
func same(a, b any) bool {
	switch a := a.(type) {
	case float64:
		b, ok := b.(float64)
		return ok && math.Abs(a-b) <= 1e-6
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, same)
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && maps.EqualFunc(a, b, same)
	}
	return a == b
}

func outputs(answer []byte) (any, error) {
	var document map[string]any
	if err := json.Unmarshal(answer, &document); err != nil {
		return nil, err
	}
	return document["outputs"], nil
}

func zipped(body []byte) ([]byte, error) {
	var packed bytes.Buffer
	writer := gzip.NewWriter(&packed)
	if _, err := writer.Write(body); err != nil {
		return nil, err
	}
	if err := writer.Close(); err != nil {
		return nil, err
	}
	return packed.Bytes(), nil
}
