// SPDX-License-Identifier: Apache-2.0
package com.acme;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;

/** What a program says to the test, in JSON lines, as tests/workloads/workload.h does; the test answers by a line. */
final class Conversation {
    private static final BufferedReader IN = new BufferedReader(new InputStreamReader(System.in));

    private Conversation() {}

    static void begin() {
        say("\"event\": \"process\", \"role\": \"program\", \"pid\": " + ProcessHandle.current().pid());
    }

    static synchronized void say(String words) {
        System.out.println("{" + words + "}");
        System.out.flush();
    }

    /** Says what comes next and waits until the test allows it, or for WORKLOAD_STEP_MS. */
    static void await(String next) throws IOException, InterruptedException {
        say("\"event\": \"waiting\", \"next\": \"" + next + "\", \"t\": " + System.currentTimeMillis() / 1000.0);
        String step = System.getenv("WORKLOAD_STEP_MS");
        if (step != null) {
            Thread.sleep(Long.parseLong(step));
            return;
        }
        String line = IN.readLine();
        if (line == null || line.equals("quit")) {
            System.exit(0);
        }
    }

    /** Returns its argument, having told the caller's stack. To be called on the very line that made the call. */
    static <T> T recorded(String op, T result) {
        StringBuilder frames = new StringBuilder();
        for (StackTraceElement frame : new Throwable().getStackTrace()) {
            if (frame.getClassName().equals(Conversation.class.getName())) {
                continue;
            }
            frames.append(frames.length() == 0 ? "" : ", ");
            frames.append("{\"function\": \"" + frame.getClassName() + "." + frame.getMethodName() + "\", ");
            frames.append("\"file\": \"" + frame.getFileName() + "\", \"line\": " + frame.getLineNumber() + "}");
        }
        say("\"event\": \"touch\", \"op\": \"" + op + "\", \"thread\": \"" + Thread.currentThread().getName()
                + "\", \"stack\": [" + frames + "]");
        return result;
    }
}
