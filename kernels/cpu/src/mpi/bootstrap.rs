//! How the ranks find one another beside MPI: rank 0 listens, tells its addresses and a secret over
//! MPI, and every other rank connects to it.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use super::addresses::{machine_identity, own_addresses};
use super::library::Library;

const TOKEN_BYTES: usize = 16;
const INVITATION_BYTES: usize = 1024;
const ADDRESS_BYTES: usize = 17;
const HELLO_BYTES: usize = TOKEN_BYTES + 4;
const WELCOME: u8 = 0x4c;
/// For one attempt: another machine of the same network answers in much less.
const ATTEMPT: Duration = Duration::from_secs(2);
const NAP: Duration = Duration::from_millis(2);

type Token = [u8; TOKEN_BYTES];
/// A rank at the other end of a connection.
pub type Stream = (usize, TcpStream);

/// Where rank 0 listens, and what opens its door.
#[derive(Debug, PartialEq)]
struct Invitation {
    token: Token,
    port: u16,
    addresses: Vec<IpAddr>,
}

impl Invitation {
    fn encode(&self) -> [u8; INVITATION_BYTES] {
        let mut bytes = Vec::from(self.token);
        let most = (INVITATION_BYTES - TOKEN_BYTES - 3) / ADDRESS_BYTES;
        let count = self.addresses.len().min(most);
        bytes.extend(self.port.to_le_bytes());
        bytes.push(count as u8);
        for address in &self.addresses[..count] {
            bytes.push(u8::from(address.is_ipv4()));
            bytes.extend(match address {
                IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
                IpAddr::V6(address) => address.octets(),
            });
        }
        bytes.resize(INVITATION_BYTES, 0);
        bytes.try_into().unwrap()
    }

    fn decode(bytes: &[u8; INVITATION_BYTES]) -> Invitation {
        let (token, rest) = bytes.split_at(TOKEN_BYTES);
        let addresses = rest[3..].chunks_exact(ADDRESS_BYTES).take(rest[2] as usize);
        Invitation {
            token: token.try_into().unwrap(),
            port: u16::from_le_bytes([rest[0], rest[1]]),
            addresses: addresses
                .map(|bytes| {
                    let octets: [u8; 16] = bytes[1..].try_into().unwrap();
                    if bytes[0] == 0 {
                        return IpAddr::V6(Ipv6Addr::from(octets));
                    }
                    IpAddr::V4(Ipv4Addr::new(
                        octets[12], octets[13], octets[14], octets[15],
                    ))
                })
                .collect(),
        }
    }
}

fn said(what: &str) -> impl Fn(std::io::Error) -> String {
    move |error| format!("{what}: {error}")
}

fn listen(on_one_machine: bool) -> Result<(TcpListener, Invitation), String> {
    let mut token = [0; TOKEN_BYTES];
    let random =
        std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut token));
    random.map_err(said("no random numbers"))?;
    let listener = if on_one_machine {
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
    } else {
        // The wider one listens for both kinds of addresses, where the machine has both.
        TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0))
            .or_else(|_| TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)))
    }
    .map_err(said("rank 0 cannot listen for the others"))?;
    let port = listener
        .local_addr()
        .map_err(said("rank 0 does not know its port"))?
        .port();
    let addresses = if on_one_machine {
        vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]
    } else {
        own_addresses()
    };
    Ok((
        listener,
        Invitation {
            token,
            port,
            addresses,
        },
    ))
}

/// Reads who knocks, and lets in who knows the secret.
fn admit(mut stream: TcpStream, token: &Token) -> std::io::Result<Option<Stream>> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(ATTEMPT))?;
    let mut hello = [0; HELLO_BYTES];
    stream.read_exact(&mut hello)?;
    if hello[..TOKEN_BYTES] != token[..] {
        return Ok(None);
    }
    stream.write_all(&[WELCOME])?;
    let rank = u32::from_le_bytes(hello[TOKEN_BYTES..].try_into().unwrap());
    Ok(Some((rank as usize, stream)))
}

fn accept_all(
    listener: &TcpListener,
    token: &Token,
    size: usize,
    deadline: Instant,
) -> Result<Vec<Stream>, String> {
    let mut streams: Vec<Stream> = Vec::new();
    listener
        .set_nonblocking(true)
        .map_err(said("rank 0 cannot wait for the others"))?;
    while streams.len() + 1 < size {
        match listener.accept() {
            // Strangers and those who gave up in between are let go.
            Ok((stream, _)) => streams.extend(admit(stream, token).ok().flatten()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(NAP),
            Err(error) => return Err(said("rank 0 cannot accept a connection")(error)),
        }
        if Instant::now() > deadline {
            let absent = (1..size).find(|rank| streams.iter().all(|(known, _)| known != rank));
            return Err(format!(
                "rank {} did not connect to rank 0",
                absent.unwrap_or(0)
            ));
        }
    }
    Ok(streams)
}

fn knock(address: SocketAddr, hello: &[u8]) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&address, ATTEMPT)?;
    stream.set_read_timeout(Some(ATTEMPT))?;
    stream.write_all(hello)?;
    let mut answer = [0];
    stream.read_exact(&mut answer)?;
    if answer[0] == WELCOME {
        Ok(stream)
    } else {
        Err(ErrorKind::InvalidData.into())
    }
}

fn knock_at_all(invitation: &Invitation, rank: usize, deadline: Instant) -> Result<Stream, String> {
    let mut hello = Vec::from(invitation.token);
    hello.extend((rank as u32).to_le_bytes());
    loop {
        let mut reasons = Vec::new();
        for address in &invitation.addresses {
            let address = SocketAddr::new(*address, invitation.port);
            match knock(address, &hello) {
                Ok(stream) => return Ok((0, stream)),
                Err(error) => reasons.push(format!("{address}: {error}")),
            }
        }
        if Instant::now() > deadline {
            return Err(format!(
                "rank {rank} cannot connect to rank 0 ({})",
                reasons.join("; ")
            ));
        }
        std::thread::sleep(10 * NAP);
    }
}

/// Connects every rank with rank 0.
pub fn connect(
    library: &Library,
    rank: usize,
    size: usize,
    at_most: Duration,
) -> Result<Vec<Stream>, String> {
    if size == 1 {
        return Ok(Vec::new());
    }
    let deadline = Instant::now() + at_most;
    let machines = library.all_gather(machine_identity(), size)?;
    let on_one_machine = machines.iter().all(|machine| *machine == machines[0]);
    let mut bytes = [0; INVITATION_BYTES];
    let mut listener = None;
    if rank == 0 {
        let (opened, invitation) = listen(on_one_machine)?;
        bytes = invitation.encode();
        listener = Some(opened);
    }
    library.broadcast(&mut bytes, 0)?;
    let invitation = Invitation::decode(&bytes);
    match listener {
        Some(listener) => accept_all(&listener, &invitation.token, size, deadline),
        None => Ok(vec![knock_at_all(&invitation, rank, deadline)?]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[test]
    fn an_invitation_arrives_as_it_was_sent() {
        let addresses = vec!["10.1.2.3".parse().unwrap(), "fd00::7".parse().unwrap()];
        let invitation = Invitation {
            token: [7; 16],
            port: 54_321,
            addresses,
        };
        assert_eq!(Invitation::decode(&invitation.encode()), invitation);
        let many = Invitation {
            addresses: vec![invitation.addresses[0]; 300],
            ..invitation
        };
        assert_eq!(Invitation::decode(&many.encode()).addresses.len(), 59);
    }

    #[test]
    fn who_knows_the_secret_is_let_in_and_strangers_are_not() {
        let (listener, invitation) = listen(true).unwrap();
        let (token, port) = (invitation.token, invitation.port);
        let door = SocketAddr::new(invitation.addresses[0], port);
        let waiting = std::thread::spawn(move || accept_all(&listener, &token, 3, soon()));
        assert!(knock(door, &[1; HELLO_BYTES]).is_err());
        let rest: Vec<_> = [2, 1]
            .map(|rank| knock_at_all(&invitation, rank, soon()))
            .into();
        assert!(rest.iter().all(Result::is_ok));
        let found: Vec<usize> = waiting
            .join()
            .unwrap()
            .unwrap()
            .into_iter()
            .map(|(rank, _)| rank)
            .collect();
        assert_eq!(found, [2, 1]);
    }

    #[test]
    fn a_rank_that_does_not_come_is_named() {
        let (listener, Invitation { token, .. }) = listen(true).unwrap();
        let reason = accept_all(&listener, &token, 2, Instant::now()).unwrap_err();
        assert_eq!(reason, "rank 1 did not connect to rank 0");
    }
}
