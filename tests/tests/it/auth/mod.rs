//! Signing in through identity providers, and what they tell of people.

mod scim;
