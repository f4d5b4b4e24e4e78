package config

// The variables of the environment that RabbitMQ's users set.
const (
	nodeNameVariable = "RABBITMQ_NODENAME"
	addressVariable  = "RABBITMQ_NODE_IP_ADDRESS"
)

// Environment returns what the variables of RabbitMQ say. They win over the file
// and lose to --set and flags. One that is empty says nothing.
func Environment(getenv func(string) string) []Setting {
	var out []Setting
	for _, v := range []struct{ name, key string }{
		{nodeNameVariable, "name"},
		{addressVariable, "bind"},
		{"RABBITMQ_NODE_PORT", "listen.amqp"},
		{"RABBITMQ_DIST_PORT", "listen.cluster"},
		{"RABBITMQ_MNESIA_DIR", "data"},
		{"RABBITMQ_DEFAULT_USER", "default_user.name"},
		{"RABBITMQ_DEFAULT_PASS", "default_user.password"},
		{"RABBITMQ_DEFAULT_VHOST", "default_user.vhost"},
		{"RABBITMQ_ERLANG_COOKIE", "cluster.cookie"},
	} {
		value := getenv(v.name)
		if v.name == addressVariable && value == "auto" {
			value = "*"
		}
		if value != "" {
			out = append(out, Setting{v.key, value, v.name})
		}
	}
	return out
}
