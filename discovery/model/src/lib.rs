//! Services, endpoints and sets of endpoints.
