//! Who answers for a service: Consul, fixed hosts and DNS as watches of endpoint sets.
