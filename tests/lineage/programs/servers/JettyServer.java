import java.io.IOException;
import java.util.Map;
import javax.servlet.AsyncContext;
import javax.servlet.http.HttpServletRequest;
import javax.servlet.http.HttpServletResponse;
import org.eclipse.jetty.server.Request;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.eclipse.jetty.server.handler.AbstractHandler;
import org.eclipse.jetty.websocket.api.WebSocketAdapter;
import org.eclipse.jetty.websocket.server.WebSocketHandler;
import org.eclipse.jetty.websocket.servlet.WebSocketServletFactory;

/** Jetty: an answer that is complete, a request that nobody completes, one that is being worked on, a WebSocket. */
final class JettyServer {
    private JettyServer() {
    }

    private static final class Pages extends AbstractHandler {
        @Override
        public void handle(String target, Request base, HttpServletRequest request, HttpServletResponse response)
            throws IOException {
            String kind = target.substring(1);
            base.setHandled(true);
            if (kind.equals("waiting")) {
                response.getWriter().print("done");
                return;
            }
            System.out.println(kind);
            if (kind.equals("asynchronous")) {
                AsyncContext context = request.startAsync();
                context.setTimeout(0);
            } else {
                Served.busy();
            }
        }
    }

    /** A WebSocket that says nothing. */
    public static final class Quiet extends WebSocketAdapter {
        @Override
        public void onWebSocketConnect(org.eclipse.jetty.websocket.api.Session session) {
            super.onWebSocketConnect(session);
            System.out.println("upgraded");
        }
    }

    private static Object serve() throws Exception {
        Server server = new Server();
        ServerConnector connector = new ServerConnector(server);
        connector.setHost("127.0.0.1");
        connector.setIdleTimeout(600_000);
        server.addConnector(connector);
        WebSocketHandler sockets = new WebSocketHandler() {
            @Override
            public void configure(WebSocketServletFactory factory) {
                factory.register(Quiet.class);
            }
        };
        sockets.setHandler(new Pages());
        server.setHandler(sockets);
        server.start();
        System.out.println("port " + connector.getLocalPort());
        return server;
    }

    public static void main(String[] arguments) throws Exception {
        Led.lead(arguments, Map.of("serve", (port, value) -> serve()));
    }
}
