"""Find and replace secrets; decode bodies within a bound; escape text for a terminal."""
