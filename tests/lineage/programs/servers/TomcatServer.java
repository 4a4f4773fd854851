import jakarta.servlet.AsyncContext;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import jakarta.websocket.Endpoint;
import jakarta.websocket.EndpointConfig;
import jakarta.websocket.Session;
import jakarta.websocket.server.ServerContainer;
import jakarta.websocket.server.ServerEndpointConfig;
import java.io.IOException;
import java.nio.file.Files;
import java.util.Collections;
import java.util.Map;
import org.apache.catalina.Context;
import org.apache.catalina.startup.Tomcat;
import org.apache.tomcat.websocket.server.WsSci;

/** Tomcat: an answer that is complete, a request that nobody completes, one that is being worked on, a WebSocket. */
final class TomcatServer {
    private TomcatServer() {
    }

    private static final class Pages extends HttpServlet {
        private static final long serialVersionUID = 1;

        @Override
        protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException {
            String kind = request.getRequestURI().substring(1);
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
    public static final class Quiet extends Endpoint {
        @Override
        public void onOpen(Session session, EndpointConfig configuration) {
            System.out.println("upgraded");
        }
    }

    private static Object serve() throws Exception {
        Tomcat tomcat = new Tomcat();
        tomcat.setBaseDir(Files.createTempDirectory("closetrace-tomcat-").toString());
        tomcat.setHostname("127.0.0.1");
        tomcat.setPort(0);
        tomcat.getConnector().setProperty("address", "127.0.0.1");
        tomcat.getConnector().setProperty("keepAliveTimeout", "-1");
        Context context = tomcat.addContext("", null);
        context.addServletContainerInitializer(new WsSci(), Collections.emptySet());
        Tomcat.addServlet(context, "pages", new Pages()).setAsyncSupported(true);
        context.addServletMappingDecoded("/*", "pages");
        tomcat.start();
        ServerContainer sockets =
            (ServerContainer) context.getServletContext().getAttribute(ServerContainer.class.getName());
        sockets.addEndpoint(ServerEndpointConfig.Builder.create(Quiet.class, "/upgraded").build());
        System.out.println("port " + tomcat.getConnector().getLocalPort());
        return tomcat;
    }

    public static void main(String[] arguments) throws Exception {
        Led.lead(arguments, Map.of("serve", (port, value) -> serve()));
    }
}
