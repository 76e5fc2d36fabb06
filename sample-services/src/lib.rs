//! Four small services behind the gateway: user, product, order, payment.
