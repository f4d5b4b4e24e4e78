package interop;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.rabbitmq.client.Channel;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.MessageProperties;
import com.rabbitmq.client.Recoverable;
import com.rabbitmq.client.RecoveryListener;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import org.junit.jupiter.api.Test;

class RecoveryTest extends Scenarios {
  /**
   * The client's own recovery: after kill -9 it connects again, declares what was transient, and
   * its consumer goes on with what was durable.
   */
  @Test
  void automaticRecovery() throws Exception {
    try (Broker own = new Broker()) {
      ConnectionFactory factory = own.factory();
      factory.setAutomaticRecoveryEnabled(true);
      factory.setNetworkRecoveryInterval(100);
      BlockingQueue<Boolean> recovered = new LinkedBlockingQueue<>();
      try (var live = factory.newConnection()) {
        ((Recoverable) live).addRecoveryListener(new RecoveryListener() {
          @Override
          public void handleRecovery(Recoverable recoverable) {
            recovered.add(true);
          }

          @Override
          public void handleRecoveryStarted(Recoverable recoverable) {}
        });
        Channel channel = live.createChannel();
        channel.queueDeclare("kept", true, false, false, null);
        channel.exchangeDeclare("routes", "topic");
        String named = channel.queueDeclare().getQueue();
        channel.queueBind("kept", "routes", "k.#");
        channel.queueBind(named, "routes", "#");
        channel.basicQos(1);
        BlockingQueue<Got> from = consume(channel, "kept");
        BlockingQueue<Got> echo = consume(channel, named, true, java.util.Map.of());
        Channel publisher = live.createChannel();
        put(publisher, "kept", "held", "waiting");
        take(from, "held");
        own.run("kill");
        own.run("start");
        next(recovered);
        publisher.basicPublish("routes", "k.x", true, MessageProperties.PERSISTENT_BASIC, "after".getBytes());
        confirmed(publisher);
        for (String body : new String[] {"held", "waiting", "after"}) {
          Got got = take(from, body).get(0);
          if (!body.equals("waiting")) { // which a broker may flag that can't know
            assertEquals(body.equals("held"), got.again());
          }
          channel.basicAck(got.tag(), false);
        }
        take(echo, "after");
      }
    }
  }
}
