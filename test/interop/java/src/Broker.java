package interop;

import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** A broker below a folder; the starter named by BROKER_CMD knows how. */
final class Broker implements AutoCloseable {
  private final Path folder;

  Broker() throws IOException {
    folder = Files.createTempDirectory("interop");
    run("start");
  }

  void run(String verb, String... args) throws IOException {
    List<String> command = new ArrayList<>();
    command.add(Optional.ofNullable(System.getenv("BROKER_CMD")).orElse("../brokers/warren.sh"));
    command.add(verb);
    command.add(folder.toString());
    command.addAll(List.of(args));
    Path out = folder.resolve("command.out");
    try {
      Process process = new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(out.toFile()).start();
      process.getOutputStream().close();
      if (process.waitFor() != 0) {
        throw new IOException(command + ": " + Files.readString(out));
      }
    } catch (InterruptedException e) {
      throw new IOException(e);
    }
  }

  /** Runs an operator's command. */
  void ctl(String... args) throws IOException {
    run("ctl", args);
  }

  ConnectionFactory factory() throws IOException {
    Matcher at = Pattern.compile("\"amqp\": ?\"([^\"]+):(\\d+)\"").matcher(Files.readString(folder.resolve("ports.json")));
    if (!at.find()) {
      throw new IOException("ports.json has no amqp");
    }
    ConnectionFactory factory = new ConnectionFactory();
    factory.setHost(at.group(1));
    factory.setPort(Integer.parseInt(at.group(2)));
    factory.setAutomaticRecoveryEnabled(false);
    factory.setClientProperties(clientProperties(factory.getClientProperties()));
    return factory;
  }

  private static Map<String, Object> clientProperties(Map<String, Object> own) {
    own.put("connection_name", "interop");
    return own;
  }

  Connection dial() throws Exception {
    return factory().newConnection();
  }

  @Override
  public void close() throws IOException {
    run("stop");
    try (var all = Files.walk(folder)) {
      for (Path path : (Iterable<Path>) all.sorted(java.util.Comparator.reverseOrder())::iterator) {
        Files.deleteIfExists(path);
      }
    }
  }
}
