texts! {
    /// Secrets, certificates and registries.
    Secrets {
        secrets: "Secrets and certificates", "机密与证书";
        registries: "Registries", "镜像仓库";
        certificate: "Certificate", "证书";
        certificate_help: "The certificate chain and its private key, as PEM, one after the other.", "PEM 格式的证书链及其私钥，依次粘贴。";
        new_value: "Give a new value", "更新值";
        remove_text: "What uses it fails when it is next started. This cannot be undone.", "使用它的服务在下次启动时将会失败。此操作无法撤销。";
        address_help: "HOST or HOST:PORT; docker.io for Docker Hub.", "主机名或 主机名:端口；Docker Hub 请填写 docker.io。";
    }
}
