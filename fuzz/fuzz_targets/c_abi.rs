//! Calls of the C ABI in any order, with any arguments that the header allows: a cache beside a model of it, a
//! configuration, a function key, a redactor, a manager. Nothing panics or leaks, and failed calls leave no output.
#![no_main]

use std::collections::HashMap;
use std::ffi::{c_char, c_void};
use std::mem::MaybeUninit;
use std::{ptr, slice};

use ::st_secrets::ffi::*;

/// More entries than any data has operations, so that none is evicted.
const MOST: usize = 4096;

/// The data as operations with arguments of up to 255 bytes.
struct Operations<'a>(&'a [u8]);

impl<'a> Operations<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::from(self.byte()?).min(self.0.len());
        let (bytes, rest) = self.0.split_at(len);
        self.0 = rest;
        Some(bytes)
    }
}

fn new_error() -> st_error {
    // SAFETY: an `st_error` is plain data, for which 0 is valid.
    let mut error: st_error = unsafe { MaybeUninit::zeroed().assume_init() };
    error.size = size_of::<st_error>() as u32;
    error
}

/// Checks that the error describes this status, as text that ends.
fn check(status: st_status, error: &st_error) {
    assert_eq!(error.status, status);
    assert!(error.message.contains(&0));
    assert_eq!(error.message[0] == 0, status == ST_OK || status == ST_NOT_FOUND && error.message[0] == 0);
}

fn no_bytes() -> st_bytes {
    st_bytes { data: ptr::null(), len: 0, owner: ptr::null_mut() }
}

/// Takes the bytes of an output, which is empty if the call failed.
fn take(status: st_status, mut bytes: st_bytes) -> Option<Vec<u8>> {
    if status != ST_OK {
        assert!(bytes.data.is_null() && bytes.len == 0 && bytes.owner.is_null());
        return None;
    }
    // SAFETY: the call succeeded, so these are its bytes.
    let copied = unsafe { slice::from_raw_parts(bytes.data, bytes.len) }.to_vec();
    // SAFETY: they are freed once.
    unsafe { st_bytes_free(&mut bytes) };
    Some(copied)
}

/// A handle of each kind. They are freed on drop.
struct Handles {
    cache: *mut st_cache,
    config: *mut st_config,
    redactor: *mut st_redactor,
}

impl Handles {
    fn new() -> Handles {
        let (mut cache, mut redactor) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: the outputs are pointers, and errors are not wanted.
        unsafe {
            assert_eq!(st_cache_new(3600.0, MOST, 3600.0, &mut cache, ptr::null_mut()), ST_OK);
            assert_eq!(st_redactor_open(ptr::null(), &mut redactor, ptr::null_mut()), ST_OK);
        }
        Handles { cache, config: st_config_new(), redactor }
    }
}

impl Drop for Handles {
    fn drop(&mut self) {
        // SAFETY: these handles are live, and freed once.
        unsafe {
            st_cache_free(self.cache);
            st_config_free(self.config);
            st_redactor_free(self.redactor);
        }
    }
}

fn text(bytes: &[u8]) -> (*const c_char, usize) {
    (bytes.as_ptr().cast(), bytes.len())
}

fn data(bytes: &[u8]) -> (*const c_void, usize) {
    (bytes.as_ptr().cast(), bytes.len())
}

fn run(operations: &mut Operations<'_>) -> Option<()> {
    let handles = Handles::new();
    let Handles { cache, config, redactor } = handles;
    let mut model: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
    loop {
        let (operation, first, second) = (operations.byte()?, operations.bytes()?, operations.bytes()?);
        let (mut error, mut bytes, mut len) = (new_error(), no_bytes(), 0);
        let out = &mut error;
        let (key, value) = (data(first), data(second));
        // SAFETY: handles are live, and pointers point to as much as the lengths say.
        let status = unsafe {
            match operation % 12 {
                0 => {
                    let status = st_cache_set(cache, key.0, key.1, value.0, value.1, f64::NAN, out);
                    assert_ne!(status, ST_OK, "NaN is not a time to live");
                    status
                }
                1 | 2 => {
                    let status = st_cache_set(cache, key.0, key.1, value.0, value.1, 3600.0, out);
                    assert_eq!(status, ST_OK);
                    model.insert(first.to_vec(), second.to_vec());
                    status
                }
                3 | 4 => {
                    let status = st_cache_get(cache, key.0, key.1, &mut bytes, out);
                    assert_eq!(take(status, bytes).as_ref(), model.get(first));
                    status
                }
                5 => {
                    let mut buffer = [0; 64];
                    let to = buffer.as_mut_ptr().cast();
                    let status = st_cache_get_into(cache, key.0, key.1, to, buffer.len(), &mut len, out);
                    match model.get(first) {
                        None => assert_eq!((status, len), (ST_NOT_FOUND, 0)),
                        Some(value) if value.len() > buffer.len() => {
                            assert_eq!((status, len), (ST_BUFFER_TOO_SMALL, value.len()));
                        }
                        Some(value) => {
                            assert_eq!((status, &buffer[..len]), (ST_OK, &value[..]));
                        }
                    }
                    status
                }
                6 => {
                    let mut deleted = false;
                    let status = st_cache_delete(cache, key.0, key.1, &mut deleted, out);
                    assert_eq!(deleted, model.remove(first).is_some());
                    status
                }
                7 => {
                    let status = st_cache_invalidate_prefix(cache, key.0, key.1, &mut len, out);
                    let before = model.len();
                    model.retain(|key, _| !key.starts_with(first));
                    assert!(status != ST_OK || len == before - model.len());
                    status
                }
                8 => {
                    let (name, value) = (text(first), text(second));
                    st_config_set(config, name.0, name.1, value.0, value.1, out)
                }
                9 => {
                    let json = text(first);
                    st_config_parse(config, json.0, json.1, out)
                }
                10 => {
                    let (name, args) = (text(first), text(second));
                    let mut buffer = [0u8; 64];
                    let to = buffer.as_mut_ptr().cast();
                    st_function_key(name.0, name.1, name.0, name.1, args.0, args.1, to, buffer.len(), &mut len, out)
                }
                _ => {
                    let mut added = false;
                    let status = st_redactor_add(redactor, ptr::null(), 0, value.0, value.1, &mut added, out);
                    check(status, out);
                    let status = st_redact(redactor, key.0, key.1, &mut bytes, out);
                    let _ = take(status, bytes);
                    status
                }
            }
        };
        check(status, &error);
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = run(&mut Operations(&data[..data.len().min(MOST)]));
});
