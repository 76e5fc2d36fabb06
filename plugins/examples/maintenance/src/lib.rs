//! Example of a native plugin: answers 503 while a route is under maintenance.
