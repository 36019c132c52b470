//! Hardware prices.

use std::time::Duration;

use super::Store;
use super::error::error;
use super::json::ConfigObject;
use crate::cache::{TtlCache, Value};
use crate::error::{Error, Result, Status};
use crate::fork;
use crate::secret_memory::SharedBytes;

/// Where SimpleTuner stores the prices.
const PROVIDER: &str = "replicate";
const MEMBER: &str = "hardware_info";
/// The defaults of SimpleTuner's documentation, and the price of `gpu-h100`, which its code alone has.
pub const DEFAULT_HARDWARE_INFO: &str = r#"{"gpu-l40s": {"name": "L40S (48GB)", "cost_per_second": 0.000975}, "gpu-a100-large": {"name": "A100 (80GB)", "cost_per_second": 0.001400}, "gpu-h100": {"name": "H100 (80GB)", "cost_per_second": 0.001525}}"#;
/// The device whose price is the default one.
const DEFAULT_DEVICE: &str = "gpu-l40s";

const TTL: Duration = Duration::from_secs(300);
const KEY: &[u8] = b"hardware_info";

/// The hourly price of a device.
#[derive(Debug)]
#[non_exhaustive]
pub struct HardwarePrice {
    /// The id of the device, such as `gpu-l40s`.
    pub id: String,
    /// The name to show. Empty if there is none.
    pub name: String,
    /// The price of an hour, or [`Status::WrongType`] if the price of a second is not a valid number.
    pub cost_per_hour: Result<f64>,
}

/// The prices, cached separately from the configuration that contains them.
pub(super) struct Prices(TtlCache<Value>);

impl Prices {
    pub(super) fn new() -> Result<Prices> {
        TtlCache::new(TTL, 1, Duration::MAX).map(Prices)
    }
}

impl Store {
    /// The prices of hardware: a JSON object `{id: {"name": …, "cost_per_second": …}}`, from `hardware_info` in the
    /// configuration of `replicate`, else [`DEFAULT_HARDWARE_INFO`]. Prices are in US dollars, and cached for 300 s.
    /// No database is created.
    pub fn hardware_info(&self) -> Result<SharedBytes> {
        let prices = &self.shared.prices.0;
        if let Some(info) = prices.get_bytes(KEY)? {
            return Ok(info);
        }
        let _guard = fork::protect();
        let info = prices.get_or_load(KEY, self.shared.timeout, |_| {
            let _guard = fork::protect();
            let config = self.provider_get(PROVIDER)?;
            let info = std::str::from_utf8(&config).ok().and_then(configured).unwrap_or(DEFAULT_HARDWARE_INFO);
            Value::copy_from(info.as_bytes())
        })?;
        info.into_bytes()
    }

    /// Replaces the cached prices with this JSON object, for 300 s. Stores nothing.
    pub fn hardware_set(&self, info: &str) -> Result<()> {
        let _guard = fork::protect();
        let object = ConfigObject::parse(info).map_err(|problem| bad_info(&problem))?;
        for member in object.members() {
            price(member.value).ok_or_else(|| bad_info(&format!("{:?} has no valid cost_per_second", member.name)))?;
        }
        self.shared.prices.0.set_bytes(KEY, info.as_bytes(), None)
    }

    /// Clears the cached prices, so that the next call reads the configuration again.
    pub fn hardware_clear(&self) {
        let _guard = fork::protect();
        self.shared.prices.0.clear();
        self.shared.configs.invalidate(PROVIDER);
    }

    /// The hourly price of the device that SimpleTuner counts with by default, `gpu-l40s`. Where the prices lack it, it
    /// is that of [`DEFAULT_HARDWARE_INFO`].
    pub fn hardware_default_cost_per_hour(&self) -> Result<f64> {
        let info = self.hardware_info()?;
        let has_price = |info: &str| {
            let device = ConfigObject::parse(info).ok()?;
            ConfigObject::parse(device.get(DEFAULT_DEVICE)?).ok()?.get("cost_per_second").map(drop)
        };
        match std::str::from_utf8(&info).ok().and_then(has_price) {
            Some(()) => cost_per_hour(&info, DEFAULT_DEVICE),
            None => cost_per_hour(DEFAULT_HARDWARE_INFO.as_bytes(), DEFAULT_DEVICE),
        }
    }

    /// The hourly prices of all devices, in the order of [`Store::hardware_info`].
    pub fn hardware_prices(&self) -> Result<Vec<HardwarePrice>> {
        let info = self.hardware_info()?;
        let object = parse(&info)?;
        let named = |device| serde_json::from_str(ConfigObject::parse(device).ok()?.get("name")?).ok();
        let prices = object.members().iter().map(|member| HardwarePrice {
            id: member.name.to_string(),
            name: named(member.value).unwrap_or_default(),
            cost_per_hour: device_cost_per_hour(&member.name, member.value),
        });
        Ok(prices.collect())
    }

    /// The hourly price of a device.
    pub fn hardware_cost_per_hour(&self, hardware_id: &str) -> Result<f64> {
        cost_per_hour(&self.hardware_info()?, hardware_id)
    }
}

/// The hourly price of a device in `info`.
fn cost_per_hour(info: &[u8], hardware_id: &str) -> Result<f64> {
    let object = parse(info)?;
    let Some(device) = object.get(hardware_id) else {
        let known: Vec<&str> = object.members().iter().take(20).map(|member| &*member.name).collect();
        let shown: String = hardware_id.chars().take(64).collect();
        let message = format!("no price is known for {shown:?}; known devices: {}", known.join(", "));
        return Err(error(Status::NotFound, message));
    };
    device_cost_per_hour(hardware_id, device)
}

fn parse(info: &[u8]) -> Result<ConfigObject<'_>> {
    let text = std::str::from_utf8(info).unwrap_or_default();
    ConfigObject::parse(text).map_err(|problem| bad_info(&problem))
}

fn device_cost_per_hour(hardware_id: &str, device: &str) -> Result<f64> {
    price(device).map(|price| price * 3600.0).ok_or_else(|| {
        let message =
            format!("the price of {hardware_id:?} is not a valid number; correct `cost_per_second` in `{MEMBER}`");
        error(Status::WrongType, message)
    })
}

/// The prices in a configuration. `None` unless they are an object with members.
fn configured(config: &str) -> Option<&str> {
    let info = ConfigObject::parse(config).ok()?.get(MEMBER)?;
    let is_used = ConfigObject::parse(info).is_ok_and(|info| !info.members().is_empty());
    is_used.then_some(info)
}

fn price(device: &str) -> Option<f64> {
    let price: f64 = ConfigObject::parse(device).ok()?.get("cost_per_second")?.parse().ok()?;
    (price.is_finite() && price >= 0.0).then_some(price)
}

fn bad_info(problem: &str) -> Error {
    error(Status::InvalidArgument, format!("`info`: {problem}"))
}
