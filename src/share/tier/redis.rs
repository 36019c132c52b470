//! Redis and Valkey, version 6 or newer.
//!
//! | key | content |
//! |---|---|
//! | `sts1:{<cluster>}:rev` | the revision |
//! | `sts1:{<cluster>}:hosts` | a hash: for each host, the time of its last look and the revision that it confirmed |
//! | `sts1:{<cluster>}:<id>:doc` | a sealed document, which expires |
//! | `sts1:{<cluster>}:<id>:load` | who loads, for some seconds |
//! | `sts1:{<cluster>}:key` | when it ends, in seconds, a line feed, and the data key, wrapped |
//!
//! With `volatile-lru`, a server that is short of memory evicts keys with an expiry time. The data key has none: hosts
//! read it only once an hour, so it would be evicted first.
//!
//! A cache has a `<cluster>` of its own:
//!
//! | key | content |
//! |---|---|
//! | `…:rev` | the revision: the number of changes |
//! | `…:floor` | the revision of the last change of a prefix |
//! | `…:log` | a list of the last changes, sealed; the newest is the first |
//! | `…:<id>:value` | a revision, a line feed, and a sealed value, which expires |
//! | `…:<id>:changed` | the revision of the last change of the key: no load that began before it is stored; expires |

use std::time::Duration;

use zeroize::Zeroizing;

use super::engine::{
    CHANGE, CHANGES, CacheLog, ChangeTarget, Engine, FetchedDocument, FetchedValue, Floor, Host, LEAD, NewChange,
    RECORD, TierConnection,
};
use super::resp::{Received, Reply, command, malformed};
use crate::clock::Deadline;
use crate::error::{Error, Result, Status};
use crate::http::{Dialer, RawStream};
use crate::share::sealed;

/// More than any reply that is not a document.
const MAX_BULK: usize = sealed::MAX_SIZE + 4096;

/// Returns the revision after making it one that this host accepts. `ARGV`: the highest that it has seen, and the one
/// for a tier that has none or a lower one.
const REVISION: &str = "local r=redis.call('get',KEYS[1]) \
    if not r or tonumber(r)<tonumber(ARGV[1]) then r=ARGV[2] redis.call('set',KEYS[1],r) end ";
const LOOK: &str = "redis.call('hset',KEYS[2],ARGV[3],redis.call('time')[1]..' '..ARGV[4]) return r";
const FETCH: &str = "return {r,redis.call('get',KEYS[2]),redis.call('pttl',KEYS[2]),redis.call('exists',KEYS[3])}";
const BUMP: &str = "local r=math.max(tonumber(redis.call('get',KEYS[1]) or '0')+1,tonumber(ARGV[1])) \
    r=string.format('%.0f',r) redis.call('set',KEYS[1],r) return r";
/// Defines `later`: whether a sealed document is later than a revision and number.
const LATER: &str = "local function later(d,r,n) \
    if not d or #d<24 or string.sub(d,1,8)~='STTIER01' then return false end \
    local a,b=struct.unpack('<I8I8',d,9) return a>r or a==r and b>n end ";
const PUBLISH: &str = "if redis.call('get',KEYS[2])==ARGV[1] then redis.call('del',KEYS[2]) end \
    if not later(redis.call('get',KEYS[1]),struct.unpack('<I8I8',ARGV[2],9)) then \
    redis.call('set',KEYS[1],ARGV[2],'px',ARGV[3]) end return 1";
const RELEASE: &str = "if redis.call('get',KEYS[2])==ARGV[1] then redis.call('del',KEYS[2]) end \
    if ARGV[2] and not later(redis.call('get',KEYS[1]),tonumber(ARGV[2]),tonumber(ARGV[3])) then \
    redis.call('del',KEYS[1]) end return 1";
/// Forgets hosts that were silent for longer than `ARGV[1]`, in seconds.
const HOSTS: &str = "local t=tonumber(redis.call('time')[1]) local a=redis.call('hgetall',KEYS[1]) local o={t} \
    for i=1,#a,2 do local s=tonumber(string.match(a[i+1],'^%d+')) \
    if not s or t-s>tonumber(ARGV[1]) then redis.call('hdel',KEYS[1],a[i]) else o[#o+1]=a[i] o[#o+1]=a[i+1] end end return o";

/// `ARGV`: a new key, which may be empty, and its lifetime in seconds.
const DATA_KEY: &str = "local t=redis.call('time')[1] local v=redis.call('get',KEYS[1]) \
    local e=v and string.match(v,'^%d+\\n') or '' if e~='' and tonumber(e)<=tonumber(t) then v=false end \
    if not v and ARGV[1]~='' then e=string.format('%.0f',t+ARGV[2])..'\\n' v=e..ARGV[1] redis.call('set',KEYS[1],v) end \
    return v and string.sub(v,#e+1)";

/// The revision of a cache, made one that this process accepts.
const CACHE: &str = "local r=tonumber(redis.call('get',KEYS[1]) or '0') if r==0 or r<tonumber(ARGV[1]) then \
    r=tonumber(ARGV[2]) redis.call('set',KEYS[1],ARGV[2]) redis.call('set',KEYS[2],ARGV[2]) end ";
const CACHE_LOG: &str = "local n=r-tonumber(ARGV[3]) local l=false \
    if n<=redis.call('llen',KEYS[3]) then l=n>0 and redis.call('lrange',KEYS[3],0,n-1) or {} end \
    return {r,redis.call('get',KEYS[2]),l}";
const CACHE_CHANGE: &str = "r=string.format('%.0f',r+1) redis.call('set',KEYS[1],r) redis.call('lpush',KEYS[3],ARGV[3]) \
    redis.call('ltrim',KEYS[3],0,ARGV[4]) if #KEYS<4 then redis.call('set',KEYS[2],r) \
    else redis.call('set',KEYS[5],r,'px',ARGV[5]) if #ARGV<6 then redis.call('del',KEYS[4]) \
    else redis.call('set',KEYS[4],r..'\\n'..ARGV[6],'px',ARGV[7]) end end return {r,redis.call('get',KEYS[2])}";
const CACHE_FILL: &str = "for i=1,2 do local v=redis.call('get',KEYS[i]) local r=v and string.match(v,'^%d+') \
    if r and tonumber(r)>tonumber(ARGV[1]) then return 0 end end \
    redis.call('set',KEYS[1],ARGV[1]..'\\n'..ARGV[2],'px',ARGV[3]) return 1";

pub(super) struct Redis {
    pub(super) dialer: Dialer,
    pub(super) user: Option<Zeroizing<String>>,
    pub(super) password: Option<Zeroizing<String>>,
    pub(super) database: u32,
    /// What all keys begin with.
    pub(super) prefix: String,
}

impl Engine for Redis {
    fn name(&self) -> &str {
        self.dialer.name()
    }

    fn connect(&self, deadline: Deadline) -> Result<Box<dyn TierConnection>> {
        let mut stream = self.dialer.connect(deadline)?;
        stream.set_deadline(deadline);
        let received = Received::new(MAX_BULK);
        let mut connection =
            RedisConnection { stream, received, prefix: self.prefix.clone(), server: self.name().to_owned() };
        if let Some(password) = &self.password {
            let user = self.user.as_ref().map(|user| user.as_bytes());
            let words: Vec<&[u8]> =
                [Some(&b"AUTH"[..]), user, Some(password.as_bytes())].into_iter().flatten().collect();
            connection.call(&words)?;
        }
        if self.database != 0 {
            connection.call(&[b"SELECT", self.database.to_string().as_bytes()])?;
        }
        Ok(Box::new(connection))
    }
}

struct RedisConnection {
    stream: RawStream,
    received: Received,
    prefix: String,
    server: String,
}

impl RedisConnection {
    fn call(&mut self, words: &[&[u8]]) -> Result<Reply> {
        self.send(&[words])?;
        self.receive()
    }

    fn send(&mut self, commands: &[&[&[u8]]]) -> Result<()> {
        let commands: Vec<_> = commands.iter().map(|words| Zeroizing::new(command(words))).collect();
        let mut bytes = Zeroizing::new(Vec::with_capacity(commands.iter().map(|command| command.len()).sum()));
        commands.iter().for_each(|command| bytes.extend_from_slice(command));
        self.stream.send(&bytes)
    }

    fn receive(&mut self) -> Result<Reply> {
        match self.received.reply(&mut self.stream) {
            Ok(Reply::Error(text)) => Err(self.refusal(&text)),
            Err(error) if error.status() == Status::Protocol => {
                Err(error.map_message(|message| format!("{}: {message}", self.server)))
            }
            reply => reply,
        }
    }

    fn run(&mut self, script: &str, keys: &[String], arguments: &[&[u8]]) -> Result<Reply> {
        let count = keys.len().to_string();
        let mut words: Vec<&[u8]> = vec![b"EVAL", script.as_bytes(), count.as_bytes()];
        words.extend(keys.iter().map(String::as_bytes));
        words.extend(arguments);
        self.call(&words)
    }

    fn key(&self, end: &str) -> String {
        format!("{}{end}", self.prefix)
    }

    fn cache_keys(&self) -> Vec<String> {
        ["rev", "floor", "log"].map(|end| self.key(end)).into()
    }

    fn value_keys(&self, id: &str) -> [String; 2] {
        ["value", "changed"].map(|end| self.key(&format!("{id}:{end}")))
    }

    fn malformed(&self) -> Error {
        malformed().map_message(|message| format!("{}: {message}", self.server))
    }

    fn number(&self, reply: &Reply) -> Result<u64> {
        reply.number().ok_or_else(|| self.malformed())
    }

    /// The error for a command that the server refused. Of its message only the code is shown.
    fn refusal(&self, text: &str) -> Error {
        // The error of a command in a script may follow that of the script.
        let has = |code: &str| text.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == code);
        let server = &self.server;
        let denied = |why: &str| Error::new(Status::AccessDenied, format!("{server} {why}"));
        let down = |why: &str| Error::new(Status::Unavailable, format!("{server} {why}")).with_retryable(true);
        if has("WRONGPASS") || has("NOAUTH") || text.contains("AUTH ") {
            denied("rejects the user or the password of `share_url`")
        } else if has("NOPERM") {
            denied("does not permit a command or a key; docs/tier.md lists the permissions")
        } else if has("OOM") {
            down("is full: raise its maxmemory, or let it evict")
        } else {
            let code = text.split(' ').next().unwrap_or_default();
            let is_code = (1..=16).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_uppercase());
            down(&format!("refuses a command ({}); check its log", if is_code { code } else { "no code" }))
        }
    }
}

fn milliseconds(lifetime: Duration) -> String {
    lifetime.as_millis().max(1).to_string()
}

fn floor_arguments(floor: Floor) -> [String; 2] {
    [floor.seen.to_string(), floor.fresh.to_string()]
}

impl TierConnection for RedisConnection {
    fn set_deadline(&mut self, deadline: Deadline) {
        self.stream.set_deadline(deadline);
    }

    fn look(&mut self, host: &str, confirmed: u64, floor: Floor) -> Result<u64> {
        let (keys, [seen, fresh]) = ([self.key("rev"), self.key("hosts")], floor_arguments(floor));
        let confirmed = confirmed.to_string();
        let arguments = [seen.as_bytes(), fresh.as_bytes(), host.as_bytes(), confirmed.as_bytes()];
        let reply = self.run(&format!("{REVISION}{LOOK}"), &keys, &arguments)?;
        self.number(&reply)
    }

    fn fetch(&mut self, id: &str, floor: Floor) -> Result<FetchedDocument> {
        let keys = [self.key("rev"), self.key(&format!("{id}:doc")), self.key(&format!("{id}:load"))];
        let [seen, fresh] = floor_arguments(floor);
        let reply = self.run(&format!("{REVISION}{FETCH}"), &keys, &[seen.as_bytes(), fresh.as_bytes()])?;
        let elements = reply.array().and_then(|elements| <[Reply; 4]>::try_from(elements).ok());
        let [revision, document, left, loading] = elements.ok_or_else(|| self.malformed())?;
        let left = Duration::from_millis(left.number().unwrap_or(0));
        let document = match document {
            Reply::Bytes(bytes) => Some((bytes, left)),
            _ => None,
        };
        Ok(FetchedDocument { revision: self.number(&revision)?, document, is_loading: loading.number() == Some(1) })
    }

    fn try_lead(&mut self, id: &str, token: &str) -> Result<bool> {
        let key = self.key(&format!("{id}:load"));
        let lead = LEAD.as_millis().to_string();
        let words: [&[u8]; 6] = [b"SET", key.as_bytes(), token.as_bytes(), b"NX", b"PX", lead.as_bytes()];
        Ok(self.call(&words)? != Reply::Nil)
    }

    fn publish(&mut self, id: &str, token: &str, document: &[u8], lifetime: Duration) -> Result<()> {
        let keys = [self.key(&format!("{id}:doc")), self.key(&format!("{id}:load"))];
        let lifetime = milliseconds(lifetime);
        self.run(&format!("{LATER}{PUBLISH}"), &keys, &[token.as_bytes(), document, lifetime.as_bytes()]).map(drop)
    }

    fn release(&mut self, id: &str, token: &str, remove: Option<(u64, u64)>) -> Result<()> {
        let keys = [self.key(&format!("{id}:doc")), self.key(&format!("{id}:load"))];
        let last = remove.map(|(revision, number)| [revision.to_string(), number.to_string()]);
        let last = last.iter().flatten().map(String::as_bytes);
        let arguments: Vec<&[u8]> = [token.as_bytes()].into_iter().chain(last).collect();
        self.run(&format!("{LATER}{RELEASE}"), &keys, &arguments).map(drop)
    }

    fn bump(&mut self, floor: Floor) -> Result<u64> {
        let reply = self.run(BUMP, &[self.key("rev")], &[floor.fresh.to_string().as_bytes()])?;
        self.number(&reply)
    }

    fn hosts(&mut self) -> Result<Vec<Host>> {
        let record = RECORD.as_secs().to_string();
        let reply = self.run(HOSTS, &[self.key("hosts")], &[record.as_bytes()])?;
        let elements = reply.array().ok_or_else(|| self.malformed())?;
        let (now, pairs) = elements.split_first().ok_or_else(|| self.malformed())?;
        let now = self.number(now)?;
        let host = |pair: &[Reply]| {
            let [Reply::Bytes(name), Reply::Bytes(state)] = pair else { return None };
            let (time, confirmed) = std::str::from_utf8(state).ok()?.split_once(' ')?;
            Some(Host {
                name: String::from_utf8_lossy(name).into_owned(),
                silent_for: Duration::from_secs(now.saturating_sub(time.parse().ok()?)),
                confirmed: confirmed.parse().ok()?,
            })
        };
        Ok(pairs.chunks_exact(2).filter_map(host).collect())
    }

    fn data_key(&mut self, new: Option<&[u8]>, lifetime: Duration) -> Result<Option<Vec<u8>>> {
        let lifetime = lifetime.as_secs().to_string();
        match self.run(DATA_KEY, &[self.key("key")], &[new.unwrap_or_default(), lifetime.as_bytes()])? {
            Reply::Bytes(wrapped) => Ok(Some(wrapped)),
            _ => Ok(None),
        }
    }

    fn cache_fetch(&mut self, id: &str, _floor: Floor) -> Result<FetchedValue> {
        let [rev, floor, value] = [self.key("rev"), self.key("floor"), self.key(&format!("{id}:value"))];
        let get: [&[u8]; 4] = [b"MGET", value.as_bytes(), floor.as_bytes(), rev.as_bytes()];
        self.send(&[&get, &[b"PTTL", value.as_bytes()]])?;
        let (got, left) = (self.receive()?, self.receive()?);
        let elements = got.array().and_then(|elements| <[Reply; 3]>::try_from(elements).ok());
        let [value, floor, revision] = elements.ok_or_else(|| self.malformed())?;
        let left = Duration::from_millis(left.number().unwrap_or(0));
        let sealed = |value: Vec<u8>| {
            let start = value.iter().position(|byte| *byte == b'\n')? + 1;
            value.get(start..).map(<[u8]>::to_vec)
        };
        let value = match value {
            Reply::Bytes(value) => sealed(value).map(|sealed| (sealed, left)),
            _ => None,
        };
        let revision = revision.number().unwrap_or(0);
        Ok(FetchedValue { value, floor: floor.number(), revision, since: revision })
    }

    fn cache_fill(&mut self, id: &str, since: u64, value: &[u8], lifetime: Duration) -> Result<()> {
        let (since, lifetime) = (since.to_string(), milliseconds(lifetime));
        let arguments = [since.as_bytes(), value, lifetime.as_bytes()];
        self.run(CACHE_FILL, &self.value_keys(id), &arguments).map(drop)
    }

    fn cache_change(&mut self, change: &NewChange<'_>, floor: Floor) -> Result<(u64, u64)> {
        let mut keys = self.cache_keys();
        let ([seen, fresh], last) = (floor_arguments(floor), (CHANGES - 1).to_string());
        let mut arguments = vec![seen.as_bytes(), fresh.as_bytes(), change.sealed, last.as_bytes()];
        let recorded = milliseconds(CHANGE);
        let lifetime;
        if let ChangeTarget::Key(id, value) = change.target {
            keys.extend(self.value_keys(id));
            arguments.push(recorded.as_bytes());
            if let Some((sealed, time)) = value {
                lifetime = milliseconds(time);
                arguments.extend([sealed, lifetime.as_bytes()]);
            }
        }
        let reply = self.run(&format!("{CACHE}{CACHE_CHANGE}"), &keys, &arguments)?;
        let elements = reply.array().and_then(|elements| <[Reply; 2]>::try_from(elements).ok());
        let [revision, floor] = elements.ok_or_else(|| self.malformed())?;
        Ok((self.number(&revision)?, self.number(&floor)?))
    }

    fn cache_log(&mut self, position: u64, floor: Floor) -> Result<CacheLog> {
        let (keys, [seen, fresh], position) = (self.cache_keys(), floor_arguments(floor), position.to_string());
        let arguments = [seen.as_bytes(), fresh.as_bytes(), position.as_bytes()];
        let reply = self.run(&format!("{CACHE}{CACHE_LOG}"), &keys, &arguments)?;
        let elements = reply.array().and_then(|elements| <[Reply; 3]>::try_from(elements).ok());
        let [revision, floor, log] = elements.ok_or_else(|| self.malformed())?;
        let (revision, floor) = (self.number(&revision)?, self.number(&floor)?);
        let change = |(at, reply)| match reply {
            Reply::Bytes(sealed) => (revision.saturating_sub(at as u64), sealed),
            _ => (revision, Vec::new()),
        };
        let changes = log.array().map(|log| log.into_iter().enumerate().map(change).rev().collect());
        Ok(CacheLog { revision, floor, changes })
    }
}
