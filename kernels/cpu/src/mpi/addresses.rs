//! The machine's own name and internet addresses.

use core::ffi::{c_char, c_int, c_void};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

#[repr(C)]
struct Interface {
    next: *mut Interface,
    name: *mut c_char,
    flags: u32,
    address: *const u8,
}

unsafe extern "C" {
    fn getifaddrs(first: *mut *mut Interface) -> c_int;
    fn freeifaddrs(first: *mut Interface) -> c_void;
    fn gethostname(name: *mut u8, capacity: usize) -> c_int;
}

const UP: u32 = 1;
const LOOPBACK: u32 = 8;
const INET: u8 = 2;
#[cfg(target_os = "macos")]
const INET6: u8 = 30;
#[cfg(not(target_os = "macos"))]
const INET6: u8 = 10;

/// Reads a socket address of either system; link-local ones are no way from machine to machine.
unsafe fn internet_address(socket: *const u8) -> Option<IpAddr> {
    if socket.is_null() {
        return None;
    }
    // One system has the length before the family, the other a family of two bytes.
    let family = unsafe { *socket.add(if cfg!(target_os = "macos") { 1 } else { 0 }) };
    match family {
        INET => {
            let bytes = unsafe { socket.add(4).cast::<[u8; 4]>().read_unaligned() };
            Some(IpAddr::V4(Ipv4Addr::from(bytes))).filter(|_| bytes[..2] != [169, 254])
        }
        INET6 => {
            let bytes = unsafe { socket.add(8).cast::<[u8; 16]>().read_unaligned() };
            let link_local = bytes[0] == 0xfe && bytes[1] & 0xc0 == 0x80;
            Some(IpAddr::V6(Ipv6Addr::from(bytes))).filter(|_| !link_local)
        }
        _ => None,
    }
}

/// Addresses under which other machines may reach this one.
pub fn own_addresses() -> Vec<IpAddr> {
    let mut first = core::ptr::null_mut();
    if unsafe { getifaddrs(&mut first) } != 0 {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut next = first;
    while let Some(interface) = unsafe { next.as_ref() } {
        next = interface.next;
        if interface.flags & UP == 0 || interface.flags & LOOPBACK != 0 {
            continue;
        }
        found.extend(unsafe { internet_address(interface.address) });
    }
    unsafe { freeifaddrs(first) };
    // Most clusters are wired for the older one.
    found.sort_by_key(IpAddr::is_ipv6);
    found
}

/// A number that ranks share which reach one another over the loopback interface: of the machine's
/// name and, on Linux, of its network namespace.
pub fn machine_identity() -> [u8; 8] {
    let mut name = [0u8; 256];
    unsafe { gethostname(name.as_mut_ptr(), name.len()) };
    let space = std::fs::read_link("/proc/self/ns/net").unwrap_or_default();
    let boot = std::fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let parts = [&name[..], space.as_os_str().as_encoded_bytes(), &boot[..]];
    // FNV-1a.
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for byte in parts.into_iter().flatten() {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    }
    hash.to_le_bytes()
}
