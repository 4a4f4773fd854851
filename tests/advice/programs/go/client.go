// Go's net/http: a Transport closes an idle connection when the peer hangs up; a body that is not closed keeps its own.
package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
)

const count = 3

var kept []*http.Response

func ask(port string) *http.Response {
	response, err := http.Get("http://127.0.0.1:" + port + "/200/12")
	if err != nil {
		panic(err)
	}
	return response
}

func idle(port string) {
	http.DefaultTransport.(*http.Transport).MaxIdleConnsPerHost = count
	var all sync.WaitGroup
	for i := 0; i < count; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			response := ask(port)
			defer response.Body.Close()
			io.Copy(io.Discard, response.Body)
		}()
	}
	all.Wait()
}

func keep(port string) {
	for i := 0; i < count; i++ {
		kept = append(kept, ask(port))
	}
}

func release(port string) {
	for i := 0; i < count; i++ {
		ask(port).Body.Close()
	}
}

func main() {
	modes := map[string]func(string){"idle": idle, "kept": keep, "released": release}
	fmt.Println("ready")
	stdin := bufio.NewReader(os.Stdin)
	stdin.ReadString('\n')
	modes[os.Args[1]](os.Args[2])
	fmt.Println("done")
	io.Copy(io.Discard, stdin)
}
