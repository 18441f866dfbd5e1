//! The stores as their users see them: conforming, crashed, damaged, locked, and out of room.

mod conformance;
mod crash;
mod damage;
mod disk;
mod faults;
mod journal;
mod opening;
mod process;
mod rows;
mod scenario;
