package modern;

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.concurrent.Callable;

/** java.net.http.HttpClient: its own threads touch the socket. */
public final class Client implements Callable<Integer> {
    @Override
    public Integer call() throws Exception {
        int port = Integer.getInteger("http.port");
        HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
        int sum = 0;
        for (int i = 0; true; i++) {
            HttpRequest request = HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + port + "/" + i)).build();
            sum += client.send(request, HttpResponse.BodyHandlers.ofString()).body().length();
        }
    }
}
