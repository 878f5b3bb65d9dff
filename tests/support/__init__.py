"""What the tests share: real services, real components, inputs."""
