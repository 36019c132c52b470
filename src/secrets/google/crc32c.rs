//! CRC-32C, the checksum that Secret Manager sends with each value.

/// The polynomial of Castagnoli, with its bits reversed.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// The checksum of at most 64 KiB, bit by bit: a table would take longer to load than it saves.
pub(super) fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (POLYNOMIAL & (crc & 1).wrapping_neg()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_is_that_of_rfc_3720() {
        for (bytes, sum) in
            [(&b"123456789"[..], 0xe306_9283), (&[0; 32], 0x8a91_36aa), (&[0xff; 32], 0x62a8_ab43), (b"", 0)]
        {
            assert_eq!(crc32c(bytes), sum, "{bytes:?}");
        }
    }
}
