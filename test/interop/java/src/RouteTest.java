package interop;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.rabbitmq.client.AMQP;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class RouteTest extends Scenarios {
  private void publish(String exchange, String key, Map<String, Object> headers) throws Exception {
    channel.confirmSelect();
    channel.basicPublish(exchange, key, new AMQP.BasicProperties.Builder().headers(headers).build(), key.getBytes());
    confirmed(channel);
  }

  @Test
  void topic() throws Exception {
    String topic = exchange("topic");
    Map<String, List<String>> wanted = Map.of(
        "#", List.of("a", "a.b", "a.b.c"), "*", List.of("a"), "a.*", List.of("a.b"), "a.#", List.of("a", "a.b", "a.b.c"),
        "#.c", List.of("a.b.c"), "*.b.#", List.of("a.b", "a.b.c"), "x", List.of());
    Map<String, String> queues = new HashMap<>();
    for (String pattern : wanted.keySet()) {
      queues.put(pattern, bound(topic, pattern, null));
    }
    for (String key : List.of("a", "a.b", "a.b.c")) {
      publish(topic, key, null);
    }
    for (var row : wanted.entrySet()) {
      assertEquals(row.getValue(), contents(channel, queues.get(row.getKey())), row.getKey());
    }
  }

  @Test
  void headers() throws Exception {
    String headers = exchange("headers");
    String all = bound(headers, "", Map.of("x-match", "all", "a", "1", "b", 2));
    String any = bound(headers, "", Map.of("x-match", "any", "a", "1", "b", 2));
    Map<String, Object> presence = new HashMap<>();
    presence.put("a", null);
    String present = bound(headers, "", presence);
    publish(headers, "both", Map.of("a", "1", "b", 2, "c", true));
    publish(headers, "one", Map.of("b", 2L));
    publish(headers, "other", Map.of("a", "2"));
    assertEquals(List.of("both"), contents(channel, all));
    assertEquals(List.of("both", "one"), contents(channel, any));
    assertEquals(List.of("both", "other"), contents(channel, present));
  }

  @Test
  void exchangeToExchangeAndAlternate() throws Exception {
    String outer = exchange("topic");
    String inner = exchange("fanout");
    String lost = exchange("fanout");
    String queue = bound(inner, "", null);
    String stray = bound(lost, "", null);
    channel.exchangeBind(inner, outer, "news.#");
    String main = unique();
    channel.exchangeDeclare(main, "direct", false, true, Map.of("alternate-exchange", lost));
    bound(main, "known", null);
    publish(outer, "news.eu", null);
    publish(outer, "rain.eu", null);
    publish(main, "unknown", null);
    assertEquals(List.of("news.eu"), contents(channel, queue));
    assertEquals(List.of("unknown"), contents(channel, stray));
  }
}
