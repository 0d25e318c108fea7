//! Chains: layers are merged and children get other parents, and what is read stays the same.

mod children;
mod content;
mod family;
mod in_place;
mod interrupted;
mod merge;
mod model;
mod rebase;
mod storages;
