// SPDX-License-Identifier: Apache-2.0
package com.acme;

import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.TimeUnit;
import org.apache.http.HttpResponse;
import org.apache.http.client.HttpClient;
import org.apache.http.client.methods.HttpGet;
import org.apache.http.impl.client.DefaultHttpClient;
import org.apache.http.impl.conn.PoolingClientConnectionManager;
import org.apache.http.util.EntityUtils;

/**
 * The idle pool: HttpClient's 4.2 API, with one connection for each worker. Idle connections are closed only once, right
 * after the work, when none has been idle long enough. With "evictor" as third argument this is repeated forever: the cure.
 */
@SuppressWarnings("deprecation")
public final class OrderClient {
    private final String url;
    private final HttpClient client;
    private final CyclicBarrier everyoneHasAConnection;

    OrderClient(String url, PoolingClientConnectionManager pool, int workers) {
        this.url = url;
        this.client = new DefaultHttpClient(pool);
        this.everyoneHasAConnection = new CyclicBarrier(workers);
    }

    String callBackend() throws Exception {
        HttpResponse response = Conversation.recorded("recv", client.execute(new HttpGet(url)));
        everyoneHasAConnection.await();
        return EntityUtils.toString(response.getEntity());
    }

    void placeOrder() {
        try {
            callBackend();
        } catch (Exception e) {
            throw new IllegalStateException(e);
        }
    }

    private static Thread evictor(PoolingClientConnectionManager pool) {
        Thread thread = new Thread(() -> {
            while (true) {
                pool.closeIdleConnections(500, TimeUnit.MILLISECONDS);
                try {
                    Thread.sleep(250);
                } catch (InterruptedException e) {
                    return;
                }
            }
        }, "evictor");
        thread.setDaemon(true);
        return thread;
    }

    private static PoolingClientConnectionManager pool(int workers) {
        PoolingClientConnectionManager pool = new PoolingClientConnectionManager();
        pool.setMaxTotal(workers);
        pool.setDefaultMaxPerRoute(workers);
        return pool;
    }

    /** Loads the classes and compiles hot code, so that the threads read an answer without delay. */
    private static void warmUp(String url) throws Exception {
        PoolingClientConnectionManager pool = pool(1);
        HttpClient client = new DefaultHttpClient(pool);
        for (int i = 0; i < 200; i++) {
            EntityUtils.consume(client.execute(new HttpGet(url)).getEntity());
        }
        pool.shutdown();
    }

    public static void main(String[] arguments) throws Exception {
        int workers = Integer.parseInt(arguments[1]);
        PoolingClientConnectionManager pool = pool(workers);
        OrderClient orders = new OrderClient(arguments[0], pool, workers);
        Conversation.begin();
        warmUp(arguments[0]);
        Conversation.await("place orders");
        Thread[] threads = new Thread[workers];
        for (int i = 0; i < workers; i++) {
            threads[i] = new Thread(orders::placeOrder, "order-" + i);
            threads[i].start();
        }
        for (Thread thread : threads) {
            thread.join();
        }
        if (arguments.length > 2 && arguments[2].equals("evictor")) {
            evictor(pool).start();
        } else {
            pool.closeIdleConnections(5, TimeUnit.SECONDS);
        }
        Conversation.await("close the pool");
        closeAtLast(pool);
        Conversation.await("end");
    }

    static void closeAtLast(PoolingClientConnectionManager pool) {
        pool.shutdown();
    }
}
