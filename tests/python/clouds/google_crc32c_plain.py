"""CRC-32C by its definition, apart from the library's and from Google's."""


def checksum(value):
    crc = 0xFFFFFFFF
    for byte in value:
        for bit in range(8):
            low = (crc ^ (byte >> bit)) & 1
            crc = (crc >> 1) ^ (0x82F63B78 if low else 0)
    return crc ^ 0xFFFFFFFF
